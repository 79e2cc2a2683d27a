package control

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel which process has connected (unix(4), LOCAL_PEERCRED and
// LOCAL_PEERPID).
func peerOf(conn *net.UnixConn) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var peer Peer
	var result error
	if err := raw.Control(func(fd uintptr) {
		var xucred *unix.Xucred
		if xucred, result = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); result != nil {
			return
		}
		peer.UID = int(xucred.Uid)
		peer.Pid, result = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	}); err != nil {
		return Peer{}, err
	}
	return peer, os.NewSyscallError("getsockopt(LOCAL_PEERCRED)", result)
}
