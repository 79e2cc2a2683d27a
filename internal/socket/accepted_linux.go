package socket

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Accepted tells whether a TCP connection to a listening socket of this machine was accepted.
// fd is the end that has connected. It does not block. The error says that the other end has
// closed the connection, perhaps after it had accepted it, or that the system does not tell.
//
// The other end has no inode until accept(2) makes one.
func Accepted(fd int) (bool, error) {
	switch state, err := tcpState(fd); {
	case err != nil:
		return false, err
	case state == tcpCloseWait:
		return true, nil // a process has closed it: the kernel resets what nobody has accepted
	case state != tcpEstablished:
		return false, syscall.ECONNRESET
	}
	inode, err := otherInode(fd)
	switch {
	case errors.Is(err, errUnknown):
		return false, nil // with SYN cookies the other end does not exist while the queue is full
	case err != nil:
		return false, err
	case inode != 0:
		return true, nil
	}
	state, err := tcpState(fd) // it may have been accepted and closed meanwhile
	return state == tcpCloseWait, err
}

// AcceptedBy tells whether one of the processes has the other end of a connection that was
// accepted. It reads what they have open.
func AcceptedBy(fd int, pids iter.Seq[int]) bool {
	inode, err := otherInode(fd)
	if err != nil || inode == 0 {
		return false
	}
	for pid := range pids {
		if Has(pid, map[uint64]bool{uint64(inode): true}) {
			return true
		}
	}
	return false
}

// otherInode is the inode of the other end; 0: it has none.
func otherInode(fd int) (uint32, error) {
	local, remote, err := ends(fd)
	if err != nil {
		return 0, err
	}
	inode, err := askInode(remote, local)
	if err != nil {
		inode, err = readInode(remote, local)
	}
	return inode, err
}

// The states of include/net/tcp_states.h that count here.
const (
	tcpEstablished = 1
	tcpClose       = 7
	tcpCloseWait   = 8
	tcpListen      = 10
)

func tcpState(fd int) (uint8, error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt(TCP_INFO)", err)
	}
	return info.State, nil
}

// ends are the two addresses of a connection.
func ends(fd int) (local, remote netip.AddrPort, err error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return local, remote, os.NewSyscallError("getsockname", err)
	}
	peer, err := unix.Getpeername(fd)
	if errors.Is(err, unix.ENOTCONN) {
		err = unix.ECONNRESET
	}
	if err != nil {
		return local, remote, os.NewSyscallError("getpeername", err)
	}
	return endOf(name), endOf(peer), nil
}

// endOf is an address without a zone. IPv4 in IPv6 becomes IPv4.
func endOf(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// inetDiagSockID is struct inet_diag_sockid of linux/inet_diag.h. Ports and addresses are
// in network order.
type inetDiagSockID struct {
	sourcePort, destinationPort [2]byte
	source, destination         [16]byte
	device                      uint32
	cookie                      [2]uint32
}

// inetDiagRequest is struct inet_diag_req_v2.
type inetDiagRequest struct {
	family, protocol, extensions, _ uint8
	states                          uint32
	id                              inetDiagSockID
}

// inetDiagMessage is struct inet_diag_msg.
type inetDiagMessage struct {
	family, state, timer, retransmits uint8
	id                                inetDiagSockID
	expires, received, sent           uint32
	uid, inode                        uint32
}

// errUnknown says that the kernel does not find the connection.
var errUnknown = errors.New("the connection is not known to the kernel")

// askInode asks the kernel for the inode of one end of a connection (sock_diag(7)); 0: it
// has none.
func askInode(local, remote netip.AddrPort) (uint32, error) {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, os.NewSyscallError("socket(NETLINK_SOCK_DIAG)", err)
	}
	defer unix.Close(s)
	if err := unix.Sendto(s, inodeRequest(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	answer := make([]byte, 4096)
	n, from, err := unix.Recvfrom(s, answer, 0) // the kernel has answered within sendto(2)
	if err != nil {
		return 0, os.NewSyscallError("recvfrom", err)
	}
	if k, ok := from.(*unix.SockaddrNetlink); !ok || k.Pid != 0 {
		return 0, errors.New("the answer is not the kernel's")
	}
	return inodeAnswered(answer[:n], local, remote)
}

func inodeRequest(local, remote netip.AddrPort) []byte {
	r := inetDiagRequest{family: unix.AF_INET6, protocol: unix.IPPROTO_TCP, states: ^uint32(0)}
	if local.Addr().Is4() {
		r.family = unix.AF_INET
	}
	copy(r.id.source[:], local.Addr().AsSlice())
	copy(r.id.destination[:], remote.Addr().AsSlice())
	binary.BigEndian.PutUint16(r.id.sourcePort[:], local.Port())
	binary.BigEndian.PutUint16(r.id.destinationPort[:], remote.Port())
	r.id.cookie = [2]uint32{^uint32(0), ^uint32(0)} // INET_DIAG_NOCOOKIE
	header := unix.NlMsghdr{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: unix.NLM_F_REQUEST, Len: unix.SizeofNlMsghdr + uint32(unsafe.Sizeof(r))}
	request := append([]byte{}, unsafe.Slice((*byte)(unsafe.Pointer(&header)), unix.SizeofNlMsghdr)...)
	return append(request, unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r))...)
}

// inodeAnswered reads the answer. For a connection that does not exist the kernel may find the
// listening socket, which does not count.
func inodeAnswered(answer []byte, local, remote netip.AddrPort) (uint32, error) {
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		switch {
		case m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4:
			return 0, os.NewSyscallError("sock_diag", syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data))))
		case m.Header.Type == unix.SOCK_DIAG_BY_FAMILY && len(m.Data) >= int(unsafe.Sizeof(inetDiagMessage{})):
			var found inetDiagMessage
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&found)), unsafe.Sizeof(found)), m.Data)
			if binary.BigEndian.Uint16(found.id.destinationPort[:]) == remote.Port() && binary.BigEndian.Uint16(found.id.sourcePort[:]) == local.Port() {
				return found.inode, nil
			}
		}
	}
	return 0, errUnknown
}

// readInode is askInode by /proc/net/tcp and tcp6 (proc(5)), which hold all connections.
func readInode(local, remote netip.AddrPort) (uint32, error) {
	tables := []string{"tcp6"}
	if local.Addr().Is4() {
		tables = []string{"tcp", "tcp6"} // the latter for a socket of both families
	}
	for _, table := range tables {
		ip6 := table == "tcp6"
		want := [2]string{procAddr(local, ip6), procAddr(remote, ip6)}
		if inode, err := findInode("/proc/self/net/"+table, want); !errors.Is(err, errUnknown) {
			return inode, err
		}
	}
	return 0, errUnknown
}

func findInode(path string, want [2]string) (uint32, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	addresses := []byte(want[0] + " " + want[1] + " ")
	const inode = 9 // the field
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), addresses) {
			continue
		}
		if fields := strings.Fields(lines.Text()); len(fields) > inode {
			n, err := strconv.ParseUint(fields[inode], 10, 32)
			return uint32(n), err
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, errUnknown
}

// procAddr is an address as /proc/net/tcp has it: 32-bit words in the machine's byte order.
func procAddr(a netip.AddrPort, ip6 bool) string {
	bytes := a.Addr().AsSlice()
	if ip6 {
		all := a.Addr().As16()
		bytes = all[:]
	}
	text := ""
	for ; len(bytes) > 0; bytes = bytes[4:] {
		text += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(bytes))
	}
	return fmt.Sprintf("%s:%04X", text, a.Port())
}
