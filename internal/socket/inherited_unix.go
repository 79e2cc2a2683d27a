//go:build unix

package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// inspect describes the socket at one of our descriptors. It changes nothing.
func inspect(fd int) (inherited, error) {
	var found inherited
	fault := func(what string) (inherited, error) {
		return found, fmt.Errorf("descriptor %d is %s", fd, what)
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	switch {
	case errors.Is(err, unix.EBADF):
		return fault("not open")
	case errors.Is(err, unix.ENOTSOCK):
		return fault(fileKind(fd) + ", not a socket")
	case err != nil:
		return found, fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("getsockopt(SO_TYPE)", err))
	}
	_, unconnected := unix.Getpeername(fd)
	switch kind {
	case unix.SOCK_STREAM:
		if unconnected == nil {
			return fault("a connection, not a listening socket")
		}
		// A system that cannot tell is no reason to refuse the socket.
		listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		if err == nil && listens == 0 {
			return fault("a stream socket that does not listen")
		}
		found.stream = true
	case unix.SOCK_DGRAM:
	default:
		return fault(fmt.Sprintf("a socket of type %d, neither a stream nor a datagram one", kind))
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return found, fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("getsockname", err))
	}
	found.name, found.addr = nameOf(sa, found.stream)
	found.tcp = found.stream && found.addr.Network() == "tcp"
	switch {
	case found.name == "":
		return fault("a socket that is bound to nothing")
	case strings.ContainsAny(found.name, unspeakable):
		return fault(fmt.Sprintf("a socket bound to %q: a semicolon, newline or NUL cannot be told to the worker", found.name))
	}
	return found, nil
}

// fileKind names what a descriptor is if not a socket.
func fileKind(fd int) string {
	var st unix.Stat_t
	_ = unix.Fstat(fd, &st) // it is open
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "a pipe"
	case unix.S_IFREG:
		return "a file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFCHR:
		return "a terminal or another device"
	}
	return "something else"
}

// nameOf is a socket's name in SERVER_STARTER_PORT, and its address; the name is "" if it
// is bound to nothing.
func nameOf(sa unix.Sockaddr, stream bool) (string, net.Addr) {
	var addr netip.AddrPort
	switch sa := sa.(type) {
	case *unix.SockaddrUnix:
		network := "unix"
		if !stream {
			network = "unixgram"
		}
		name := sa.Name // of an abstract socket it begins with @
		if name == "@" {
			name = ""
		}
		return name, &net.UnixAddr{Name: name, Net: network}
	case *unix.SockaddrInet4:
		addr = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			ip = ip.WithZone(strconv.Itoa(int(sa.ZoneId)))
			if i, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				ip = ip.WithZone(i.Name)
			}
		}
		addr = netip.AddrPortFrom(ip, uint16(sa.Port))
	default:
		return "", &net.UnixAddr{}
	}
	name := addr.String()
	switch {
	case addr.Port() == 0:
		name = ""
	case addr.Addr() == netip.IPv4Unspecified():
		name = strconv.Itoa(int(addr.Port()))
	}
	if stream {
		return name, net.TCPAddrFromAddrPort(addr)
	}
	return name, net.UDPAddrFromAddrPort(addr)
}

// take duplicates an inherited socket, to hand it over. The descriptor itself stays the
// caller's. O_NONBLOCK is set or cleared once, here: the process that gave us the socket
// shares the flag. So do workers, after an upgrade: then it is not cleared.
func (s *Socket) take(again bool) error {
	fault := func(err error) error { return fmt.Errorf("cannot take socket %q: %w", s.Text, err) }
	found, err := inspect(s.Source)
	if err != nil {
		return fault(err)
	}
	if err := errors.Join(s.fits(found)...); err != nil {
		return err
	}
	fd, err := fd.Dup(s.Source)
	if err != nil {
		return fault(err)
	}
	s.fd, s.Name, s.Addr = fd, found.name, found.addr
	s.bound, _ = addrPort(found.addr)
	if s.Source > 2 {
		unix.CloseOnExec(s.Source)
	}
	if !again {
		if err := unix.SetNonblock(fd, s.Nonblock); err != nil {
			return fault(os.NewSyscallError("fcntl(O_NONBLOCK)", err))
		}
	}
	if err := s.applyTuning(fd); err != nil {
		return fault(err)
	}
	if s.Backlog > 0 {
		if err := s.listen(fd, Options{}); err != nil {
			return fault(err)
		}
	}
	return nil
}

// plug replaces 0, 1 or 2 by /dev/null if a socket was taken from there. So our output does
// not go to the socket, and a worker has the socket only at the descriptor that it is told.
func (s *Set) plug() error {
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		if !socket.Taken || socket.Source > 2 {
			continue
		}
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		err = unix.Dup2(int(null.Fd()), socket.Source)
		null.Close()
		if err != nil {
			return os.NewSyscallError("dup2", err)
		}
	}
	return nil
}
