package output

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// While the log takes nothing, a relay cannot be held in time. When the log goes on, so does the
// relay.
func TestRelayThatCouldNotBeHeldGoesOn(t *testing.T) {
	t.Parallel()
	reads, writes, err := os.Pipe()
	require.NoError(t, err)
	defer reads.Close()
	o := New(writes, "a test")
	const filled = 4096
	raw, err := writes.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		_, err = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, filled)
	}))
	require.NoError(t, err)
	_, err = writes.Write(make([]byte, filled))
	require.NoError(t, err)

	r, err := o.Relay()
	require.NoError(t, err)
	end, err := unix.FcntlInt(uintptr(pipeOf(r)), unix.F_DUPFD_CLOEXEC, 3)
	require.NoError(t, err)
	worker := os.NewFile(uintptr(end), "worker")
	r.Begin(Worker{Pid: 7})
	_, err = worker.WriteString("first\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { // it was read
		o.relays.log.early.mu.Lock()
		defer o.relays.log.early.mu.Unlock()
		return o.relays.log.early.busy
	}, 15*time.Second, time.Millisecond)
	h, release := o.Hand()
	require.Len(t, h.Relays, 1)
	release()
	buffer := make([]byte, filled)
	for n := 0; n < filled; {
		more, err := reads.Read(buffer)
		require.NoError(t, err)
		n += more
	}
	_, err = worker.WriteString("second\n")
	require.NoError(t, err)
	worker.Close()
	var got string
	for len(got) < len("[7] first\n[7] second\n") {
		n, err := reads.Read(buffer)
		require.NoError(t, err)
		got += string(buffer[:n])
	}
	assert.Equal(t, "[7] first\n[7] second\n", got)
	o.Wait()
}

// Lines that a worker writes while one image hands over to the next are whole, and there once.
func TestLinesAreWholeOverAHandover(t *testing.T) {
	t.Parallel()
	var log testkit.Output
	reads, writes, err := os.Pipe()
	require.NoError(t, err)
	defer writes.Close()
	out := New(&log, "a test")
	out.relays.follow(reads, Worker{Pid: 7}, "")
	want := ""
	for n := range 20 {
		fmt.Fprintf(writes, "line %d\nbegun", n)
		if n%4 == 3 {
			_, release := out.Hand() // the next image is not executed
			fmt.Fprint(writes, " and")
			want += fmt.Sprintf("[7] line %d\n[7] begun and ended\n", n)
			release()
		} else {
			h, _ := out.Hand()
			require.Len(t, h.Relays, 1)
			h.Relays[0].FD, err = fd.Dup(h.Relays[0].FD)
			require.NoError(t, err)
			fmt.Fprint(writes, " here")
			want += fmt.Sprintf("[7] line %d\n[7] begun here ended\n", n)
			out = New(&log, "a test")
			out.Adopt(h)
			out.Follow(h)
		}
		fmt.Fprint(writes, " ended\n")
		require.Eventually(t, func() bool { return log.String() == want }, patience, time.Millisecond, "%s", &log)
	}
}

func TestTailOfTheLogIsHandedOver(t *testing.T) {
	t.Parallel()
	last := New(os.Stderr, "a test")
	last.tail.adopt(HeldTail{Generation: 3, Begin: 77, Failed: 2, Lines: []string{"no database"}})
	h, release := last.Hand()
	release()
	next := New(os.Stderr, "a test")
	next.Adopt(h)
	assert.Equal(t, []string{"no database"}, next.Tail(2))
}

func TestWhyALogCouldNotBeOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	assert.NoError(t, Try(""))
	assert.NoError(t, Try("| cat"))
	assert.NoError(t, Try("syslog:x"))
	assert.NoError(t, Try(filepath.Join(dir, "log")))
	assert.FileExists(t, filepath.Join(dir, "log"))
	assert.ErrorContains(t, Try(dir), "log file: ")
	assert.ErrorContains(t, Try(filepath.Join(dir, "nowhere", "log")), "no such file or directory")
	assert.Error(t, Try("|"))
}

// The loop stands still during a handover, and prints when that fails.
func TestPrintingDoesNotWaitForALogCommandThatHangsWhileItIsStarted(t *testing.T) {
	t.Parallel()
	o := New(&testkit.Output{}, "a test")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	c := &command{reader: r, stdout: w, stderr: w}
	o.sink = &sink{spec: "| hangs", file: w, command: c}
	c.mu.Lock() // as in again
	handed := make(chan func(), 1)
	go func() {
		_, release := o.Hand()
		handed <- release
	}()
	stacks := make([]byte, 1<<20)
	require.Eventually(t, func() bool {
		return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("output.(*sink).hand("))
	}, patience, time.Millisecond)
	printed := make(chan struct{})
	go func() {
		o.Printf("not upgraded")
		close(printed)
	}()
	select {
	case <-printed:
	case <-time.After(patience):
		t.Error("printing waits")
	}
	c.mu.Unlock()
	(<-handed)()
	<-printed
}
