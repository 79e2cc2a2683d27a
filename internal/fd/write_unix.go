//go:build unix

package fd

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// WriteAll writes all of text to w. A process that shares the open file may change its flags.
// If it sets O_NONBLOCK, as node does on its stderr, WriteAll waits whenever w is full, as if it
// blocked. If it sets O_DIRECT, with which a file takes no single line, WriteAll clears it again.
func WriteAll(w io.Writer, text string) error {
	_, err := WriteMost(w, text)
	return err
}

// WriteMost is WriteAll, and returns how many bytes were written: after an error fewer than all.
func WriteMost(w io.Writer, text string) (written int, err error) {
	for all := len(text); ; {
		n, err := io.WriteString(w, text)
		text = text[max(0, min(n, len(text))):]
		file, ok := w.(*os.File)
		switch {
		case ok && errors.Is(err, syscall.EAGAIN):
			if err := awaitRoom(file); err != nil {
				return all - len(text), err
			}
		case ok && errors.Is(err, syscall.EINVAL) && buffered(file):
		default:
			return all - len(text), err
		}
	}
}

// awaitRoom blocks until something can be written to a file.
func awaitRoom(file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			_, failed = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
			if failed != unix.EINTR {
				return
			}
		}
	})
	return errors.Join(err, os.NewSyscallError("poll", failed))
}
