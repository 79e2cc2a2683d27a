//go:build unix && !linux

package control

import (
	"os"
	"syscall"
)

// unixSocket holds the fork lock, as this system cannot make a socket
// close-on-exec from the start.
func unixSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	syscall.CloseOnExec(fd)
	return fd, os.NewSyscallError("fcntl", syscall.SetNonblock(fd, true))
}
