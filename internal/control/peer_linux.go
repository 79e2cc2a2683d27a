package control

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel which process has connected (unix(7), SO_PEERCRED).
func peerOf(conn *net.UnixConn) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var ucred *unix.Ucred
	var result error
	if err := raw.Control(func(fd uintptr) {
		ucred, result = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Peer{}, err
	}
	if result != nil {
		return Peer{}, os.NewSyscallError("getsockopt(SO_PEERCRED)", result)
	}
	return Peer{Pid: int(ucred.Pid), UID: int(ucred.Uid)}, nil
}
