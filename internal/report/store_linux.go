package report

import (
	"cmp"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// sendDescriptor sends a message with a descriptor to the service manager, as
// sd_pid_notify_with_fds(3) does. It may block.
func sendDescriptor(text string, n int) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: os.Getenv("NOTIFY_SOCKET"), Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn() // net sends no descriptor over a connected socket
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(socket uintptr) bool {
		failed = unix.Sendmsg(int(socket), []byte(text), unix.UnixRights(n), nil, unix.MSG_NOSIGNAL)
		return failed != unix.EAGAIN
	})
	return cmp.Or(err, os.NewSyscallError("sendmsg", failed))
}
