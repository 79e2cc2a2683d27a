//go:build linux || darwin

package listener

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what must come; it is never reached
// unless the test fails.
const patience = 15 * time.Second

// process is a helper that runs. If it still runs when the test ends, it is killed.
type process struct {
	*os.Process
	stdin io.WriteCloser
	lines chan string   // of its stdout, closed at its end
	done  chan struct{} // closed when it was waited for
	err   error         // of the wait
}

// start starts a helper with files as its descriptors from 3 on, which spec
// names.
func start(t *testing.T, helper, spec string, files ...*os.File) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVarName+"="+helper, ServerStarterEnvVarName+"="+spec, generationEnvVarName+"=7")
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // it sleeps a second by default
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	p := &process{Process: cmd.Process, stdin: stdin, lines: make(chan string, 64), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
		close(p.lines)
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		p.Kill()
		<-p.done
	})
	return p
}

// expect waits for the next line of the process.
func (p *process) expect(t *testing.T, line string) {
	t.Helper()
	select {
	case got := <-p.lines:
		require.Equal(t, line, got)
	case <-time.After(patience):
		require.FailNow(t, "no line from the helper", "want %q", line)
	}
}

// ended waits for the end of the process, which must be a success, and returns
// what it still said.
func (p *process) ended(t *testing.T) string {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(t, "the helper does not end")
	}
	var said []string
	for line := range p.lines {
		said = append(said, line)
	}
	require.NoError(t, p.err, said)
	return strings.Join(said, "\n")
}
