//go:build unix

package ctl

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// isLeft blocks until a file has no reader any more: the pipe's reader has gone, or the terminal.
// The result is false if that cannot be told.
func isLeft(file *os.File) bool {
	look := []unix.PollFd{{Fd: int32(file.Fd())}}
	for {
		_, err := unix.Poll(look, -1)
		if err != unix.EINTR {
			return err == nil && look[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
		}
	}
}

// resizes tells when the window may have changed its size, until stop is called.
func resizes() (changed <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	return c, func() { signal.Stop(c) }
}
