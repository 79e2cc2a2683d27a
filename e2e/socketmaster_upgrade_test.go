//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// seesUpgrade waits until it has become another image n times.
func (d *daemon) seesUpgrade(n int) {
	d.t.Helper()
	d.sees(n, `^this is \S+ \S+.* now, in the place of `)
}

// A server is replaced as by HUP, and those that are told to go are still waited for.
func TestSocketmasterReplacesItselfUnderLoad(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, master, "-listen=tcp://"+addr, "-start=150", "-command="+hello)
	answeredBy(t, "tcp", addr, d.worker(1))
	l := startLoad(t, "tcp", addr, 2, 2)
	for n := 1; n <= 4; n++ {
		d.signal(syscall.SIGUSR1)
		d.seesUpgrade(n)
		answeredBy(t, "tcp", addr, d.worker(n+1))
		d.sees(n, `^old worker \d+ died, status:0$`)
		isGone(t, d.worker(n))
	}
	d.sees(4, `^received USR1: can .*/socketmaster go on\?$`)
	l.goesOn(50)
	l.stop()
	d.stop()
	d.printsNot(`giving|unexpectedly|not upgraded`)
	d.runs()
}

// After an upgrade it still ends as its server does.
func TestSocketmasterThatWasReplacedEndsAsItsServerDoes(t *testing.T) {
	t.Parallel()
	d := startMaster(t, `trap 'exit 0' TERM; echo up; while [ ! -e go ]; do sleep 0.02; done; exit 9`, "-start=100")
	d.says(1, "up")
	d.signal(syscall.SIGUSR1)
	d.seesUpgrade(1)
	d.says(2, "up")
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, d.worker(1)))
	d.write("go", "")
	assert.Equal(t, 9, d.exit())
}

// Servers that stay are still passed signals. The original forgets them.
func TestSocketmasterThatSignalsNobodyKeepsAllOverAnUpgrade(t *testing.T) {
	t.Parallel()
	d := startMaster(t, patient, "-start=0")
	d.says(1, "up")
	d.signal(syscall.SIGUSR1)
	d.says(2, "up")
	d.signal(syscall.SIGUSR1)
	d.says(3, "up")
	d.printsNot(`told`)
	d.stop()
	d.sees(3, `^\[\d+\] told TERM$`)
	d.runs()
}

func TestSocketmasterWhoseFileIsAnotherByNow(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	binary := filepath.Join(dir, "socketmaster")
	install := func(text []byte) {
		require.NoError(t, os.WriteFile(binary+".new", text, 0o755))
		require.NoError(t, os.Rename(binary+".new", binary))
	}
	text, err := os.ReadFile(master)
	require.NoError(t, err)
	install(text)
	d := startIn(t, dir, nil, binary, "-listen=unix:app.sock", "-start=100", "-command=/bin/sh", "--", "-c", patient)
	d.says(1, "up")
	for n, row := range []struct{ file, says string }{
		{"#!/bin/sh\necho \"I know $1 not\" >&2\nexit 3\n", "I know --rehearse not"},
		{"no program", `.*not found`},
	} {
		install([]byte(row.file))
		d.signal(syscall.SIGUSR1)
		d.sees(n+1, `^not upgraded: `)
		d.sees(1, `^not upgraded: (`+row.says+`)`)
	}
	require.NoError(t, os.Remove(binary))
	d.signal(syscall.SIGUSR1)
	d.sees(1, `^not upgraded: new executable: open .*/socketmaster: no such file or directory$`)
	install(text)
	d.signal(syscall.SIGUSR1)
	d.seesUpgrade(1)
	d.says(2, "up")
	d.stop()
	assert.NoFileExists(t, filepath.Join(dir, "app.sock"))
	d.runs()
}

// TERM is the end at whatever moment of an upgrade it comes: no server is started after it.
func TestTERMWhileSocketmasterReplacesItself(t *testing.T) {
	t.Parallel()
	for n := range 6 {
		d := startMaster(t, patient, "-start=100")
		d.says(1, "up")
		d.signal(syscall.SIGUSR1)
		d.sees(1, `go on\?$`) // two pending signals may be heard in any order
		<-time.After(time.Duration(n) * 2 * time.Millisecond)
		d.signal(syscall.SIGTERM)
		d.exit()
		d.runs()
		assert.LessOrEqual(t, len(d.sees(1, `^starting new worker \d+$`)), 2, d.out)
	}
}
