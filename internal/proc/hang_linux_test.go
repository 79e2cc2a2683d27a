package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// beHung starts a program while the program's file cannot be opened, as on a file system that
// hangs, and says what goes on meanwhile.
func beHung() {
	program := os.Args[1]
	worker, err := Start(Command{Args: []string{"sleep", "1000"}, Env: os.Environ(), Files: []int{0, 1, 2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, end := context.WithCancelCause(context.Background())
	late := make(chan error, 1)
	go func() {
		_, err := StartContext(ctx, Command{Args: []string{program}, Files: []int{0, 1, 2}})
		late <- err
	}()
	os.Stdin.Read(make([]byte, 1)) // it hangs
	runtime.GC()
	_ = worker.Signal(syscall.SIGTERM)
	worker.Wait()
	end(errors.New("given up"))
	fmt.Println("goes on")
	fmt.Println(<-late)
}

// Without care a start that hangs holds a thread that Go cannot stop, and so everything else.
func TestStartThatHangsHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho started\n"), 0o755))
	file, err := unix.Open(program, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	free := sync.OnceFunc(func() { unix.Close(file) })
	defer free()
	if _, err := unix.FcntlInt(uintptr(file), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("no lease on a file here: %v", err)
	}
	heard, said, err := os.Pipe()
	require.NoError(t, err)
	gate, opener, err := os.Pipe()
	require.NoError(t, err)
	defer opener.Close()
	c := asRole(t, "hung")
	c.Args, c.Files = append(c.Args, program), []int{int(gate.Fd()), int(said.Fd()), 2}
	p, err := Start(c)
	require.NoError(t, err)
	gate.Close()
	said.Close()
	require.Eventually(t, func() bool {
		kind, err := unix.FcntlInt(uintptr(file), unix.F_GETLEASE, 0)
		return err == nil && kind != unix.F_WRLCK // who opens the file waits for us
	}, patience, time.Millisecond)
	opener.Write([]byte("\n"))

	lines := bufio.NewReader(heard)
	next := func() string {
		heard.SetReadDeadline(time.Now().Add(patience))
		line, err := lines.ReadString('\n')
		assert.NoError(t, err)
		return line
	}
	assert.Equal(t, "goes on\n", next())
	free()
	assert.Equal(t, fmt.Sprintf("program %q: was not started, as it was given up\n", program), next())
	p.Wait()
	_, err = lines.ReadByte()
	assert.ErrorIs(t, err, io.EOF, "the program has not run")
}
