package socket

import "golang.org/x/sys/unix"

func socketCloseOnExec(family, kind int) (int, error) {
	return unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
}
