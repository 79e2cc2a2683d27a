//go:build unix

package listener

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
)

// inspect asks the kernel what the descriptor of port is.
func inspect(port Listener) (socket, error) {
	fd := int(port.Fd())
	sotype, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil {
		return socket{}, fmt.Errorf("inherited %s: %w", port, os.NewSyscallError("getsockopt", err))
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return socket{}, fmt.Errorf("inherited %s: %w", port, os.NewSyscallError("getsockname", err))
	}
	var s socket
	if sotype == syscall.SOCK_DGRAM {
		s.kind = datagram
	}
	switch name := name.(type) {
	case *syscall.SockaddrInet4:
		s.addr = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	case *syscall.SockaddrInet6:
		s.addr = netip.AddrPortFrom(netip.AddrFrom16(name.Addr), uint16(name.Port))
	case *syscall.SockaddrUnix:
		s.path = name.Name
	}
	return s, nil
}

// duplicate returns a duplicate of the descriptor of port for the net package
// to look at; both are close-on-exec.
//
// The inherited number itself never becomes an os.File, whose finalizer would
// close it. os.NewFile leaves O_NONBLOCK as it is, and so do Fd, which the net
// package calls, and Close.
func duplicate(port Listener) (*os.File, error) {
	fd := int(port.Fd())
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	dup, err := syscall.Dup(fd)
	if err != nil {
		return nil, fmt.Errorf("inherited %s: %w", port, os.NewSyscallError("dup", err))
	}
	syscall.CloseOnExec(dup)
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(dup), port.String()), nil
}
