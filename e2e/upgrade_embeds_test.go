//go:build linux

package e2e

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program that embeds package starter goes on as a newer file of itself.
func TestUpgradeOfAProgramThatEmbedsTheLibrary(t *testing.T) {
	t.Parallel()
	binary := program(t, "embeds")
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, binary, addr, hello, "-all")
	d.answers(1, "tcp", addr)
	l := startLoad(t, "tcp", addr, 2, 2)
	for n := 1; n <= 2; n++ {
		d.signal(syscall.SIGUSR2)
		d.seesUpgrade(n)
		d.answers(n+1, "tcp", addr)
		d.sees(n, `^old worker \d+ died, status:0$`)
	}
	require.NoError(t, os.Remove(binary))
	d.signal(syscall.SIGUSR2)
	d.sees(1, `^embeds: new executable: open .*/embeds: no such file or directory$`)
	d.signal(syscall.SIGHUP)
	d.answers(4, "tcp", addr)
	l.goesOn(50)
	l.stop()
	d.stop()
	d.runs()
}
