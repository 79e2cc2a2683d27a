//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Workers inherit the same after an upgrade: no more signals are ignored than before.
func TestWorkersOfAnUpgradedInheritTheSame(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	worker := filepath.Join(dir, "worker.sh")
	require.NoError(t, os.WriteFile(worker, []byte(`#!/bin/sh
trap 'exit 0' TERM
{ grep -E '^(Sig(Blk|Ign)|Umask)' /proc/self/status; cat /proc/self/limits; env | grep -v _GENERATION | sort; } > new
mv new is.$SERVER_STARTER_GENERATION
while :; do sleep 0.1; done
`), 0o755))
	d := startIn(t, dir, nil, ours, "--interval=0.2", "--control=ctl", "--port=0", "--", worker)
	is := func(n int) string {
		name := fmt.Sprintf("is.%d", n)
		eventually(t, func() bool { return d.file(name) != "" }, func() string { return d.out.String() })
		return d.file(name)
	}
	before := is(1)
	assert.Regexp(t, `SigIgn:\s*[0-9a-f]{8}.0{7}\n`, before, "nothing but what ran the tests may have had ignored")
	for n := range 2 {
		d.upgraded()
		assert.Equal(t, before, is(n+2))
	}
	d.stop()
}

// An image that fails at the last thing that it opens takes back what it has made, and the last
// image still has all that it had.
func TestImageThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	worker := filepath.Join(dir, "worker.sh")
	require.NoError(t, os.WriteFile(worker, []byte("#!/bin/sh\ntrap 'exit 0' TERM\n"+
		`n=0; while :; do n=$((n+1)); echo "$SERVER_STARTER_GENERATION line $n"; sleep 0.001; done`+"\n"), 0o755))
	old := []string{"--interval=0.2", "--control=ctl", "--prefix-output", "--log-file=| cat >> log", "--pid-file=pid", "--status-file=st", "--", worker}
	d := startIn(t, dir, nil, ours, old...)
	eventually(t, func() bool { return d.file("st") != "" }, func() string { return d.out.String() })
	image := filepath.Join(dir, "image")
	require.NoError(t, os.WriteFile(image, []byte("#!/bin/sh\n"+
		`case "$START_SERVER_HANDOVER" in rehearse:*) exec `+ours+` "$@";; esac`+"\n"+
		"mkdir "+dir+"/new.ctl\nexec "+ours+` "$@"`+"\n"), 0o755))
	open, _ := d.open()
	for range 3 {
		a := d.talk(`{"command":"self-upgrade","executable":"` + image + `","args":["--interval=0.2","--control=new.ctl","--port=0","--path=x.sock",` +
			`"--ready=notify","--log-file=| cat >> log2","--pid-file=pid2","--status-file=st2","--","` + worker + `"]}`)[0]
		assert.Equal(t, false, a["ok"])
		assert.Regexp(t, `^\S+ could not go on: control socket .* left alone; start_server .* goes on$`, a["error"])
		require.NoError(t, os.Remove(filepath.Join(dir, "new.ctl")))
	}
	allowed := []string{"ctl", "image", "log", "log2", "pid", "st", "worker.sh"}
	var more []os.DirEntry
	eventually(t, func() bool { // st may just be written, beside its path
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		more = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return slices.Contains(allowed, e.Name()) })
		return len(more) == 0
	}, func() string { return fmt.Sprintf("there is more in the directory: %v", more) })
	eventually(t, func() bool { now, _ := d.open(); return now <= open }, func() string { return "more descriptors are open" })
	eventually(t, func() bool { return d.children() == 2 }, func() string { return fmt.Sprintf("%d children, not the worker and the log command", d.children()) })
	d.upgraded()
	d.stop()
	last := map[string]int{}
	for _, line := range regexp.MustCompile(`(?m)^\[\d+\] (\d) line (\d+)$`).FindAllStringSubmatch(d.file("log"), -1) {
		last[line[1]]++
		require.Equal(t, fmt.Sprint(last[line[1]]), line[2], "a line is lost, or there twice: %q", line[0])
	}
	assert.Contains(t, last, "2")
	d.runs()
}

// children is how many children it has, with those that have ended and were not waited for.
func (d *daemon) children() (n int) {
	found, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", d.cmd.Process.Pid))
	require.NoError(d.t, err)
	for _, name := range found {
		text, _ := os.ReadFile(name)
		n += len(strings.Fields(string(text)))
	}
	return n
}

// A signal that comes while the loop stands still, because the log takes nothing, is not lost.
func TestSignalWhileAllIsHandedOver(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	worker := filepath.Join(dir, "worker.sh")
	// Nobody reads the log until the worker says so.
	require.NoError(t, os.WriteFile(worker, []byte("#!/bin/sh\ntrap 'exit 0' TERM\n"+
		"head -c 300000 /dev/zero | tr '\\0' x | fold -w 99 &\nwhile :; do sleep 0.1; done\n"), 0o755))
	logger := "| while [ ! -e go ]; do sleep 0.1; done; exec cat > log"
	d := startIn(t, dir, nil, ours, "--interval=0.2", "--control=ctl", "--prefix-output", "--log-file="+logger, "--", worker)
	eventually(t, func() bool { return d.children() == 2 }, func() string { return d.out.String() })
	asked := exec.Command(ours, "--upgrade", "--keep-workers", "--control="+filepath.Join(dir, "ctl"), "--timeout=60")
	require.NoError(t, asked.Start())
	// The child that has rehearsed is the third.
	eventually(t, func() bool { return d.children() == 3 }, func() string { return d.out.String() })
	<-time.After(500 * time.Millisecond) // it stands still for some seconds
	d.signal(syscall.SIGTERM)
	eventually(t, func() bool { return d.children() < 3 }, func() string { return "it stands still for ever" })
	d.write("go", "")
	asked.Wait()
	d.exit()
	assert.Contains(t, d.file("log"), "received TERM")
}

// A socketmaster does not go on in the place of a start_server.
func TestAnotherSuperdaemonIsRefused(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2")
	a := d.talk(`{"command":"self-upgrade","executable":"` + filepath.Join(filepath.Dir(ours), "socketmaster") + `","args":["-command=/bin/true","-listen=tcp://127.0.0.1:0"]}`)[0]
	assert.Equal(t, false, a["ok"])
	d.upgraded()
	d.stop()
}

// JSON cannot hold such an argument, and would change it.
func TestUpgradeWithAnArgumentThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	code, printed := command(t, tempDir(t), ours, "--upgrade", "--control=ctl", "--", "./server", "x\xff")
	assert.Equal(t, 1, code)
	assert.Equal(t, `start_server: "x\xff" is not UTF-8, and cannot be sent to the superdaemon: put it into a script`+"\n", printed)
}
