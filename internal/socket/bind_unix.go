//go:build unix

package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The sockets are made with socket(2), bind(2) and listen(2) rather than by
// package net: that would make them nonblocking and MPTCP, register them with
// Go's poller, so that the superdaemon wakes for every connection, and choose
// the backlog, and each of these would then have to be undone.

func (s *Socket) bind(ctx context.Context, o Options) error {
	var err error
	if s.Path != "" {
		err = s.bindPath(o)
	} else {
		err = s.bindPort(ctx, o)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("cannot bind %s %q: %w; stop what uses it, or choose another one", s.kind(), s.Text, err)
	case errors.Is(err, unix.EACCES) && s.Path == "":
		return fmt.Errorf("cannot bind port %q: %w; ports below 1024 need root or CAP_NET_BIND_SERVICE", s.Text, err)
	}
	return fmt.Errorf("cannot bind %s %q: %w", s.kind(), s.Text, err)
}

func (s *Socket) bindPort(ctx context.Context, o Options) error {
	addr, err := s.resolve(ctx)
	if err != nil {
		return err
	}
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	if s.UDP {
		kind = unix.SOCK_DGRAM
	}
	if err := s.create(family, kind); err != nil {
		return err
	}
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return os.NewSyscallError("setsockopt(IPV6_V6ONLY)", err)
		}
	}
	// With SO_REUSEADDR on both, Linux lets a second UDP socket bind the port
	// and steal its packets; set after bind(2) the flag is there all the same,
	// and a second start fails.
	reuse := func() error {
		return os.NewSyscallError("setsockopt(SO_REUSEADDR)", unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	}
	if !s.UDP {
		if err := reuse(); err != nil {
			return err
		}
	}
	address, err := sockaddr(addr)
	if err != nil {
		return err
	}
	if err := unix.Bind(s.fd, address); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if s.UDP {
		err = reuse()
	} else {
		err = s.listen(o)
	}
	if err != nil {
		return err
	}
	return s.setName(addr)
}

// bindPath binds a unix socket with mode 0777. The mode is set before
// listen(2), when nobody can connect yet, and not with umask(2), which belongs
// to the whole process.
func (s *Socket) bindPath(o Options) error {
	info, err := os.Lstat(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("the path is taken by something that is not a socket, which is not removed")
	default:
		if o.Removing != nil {
			o.Removing(s.Path)
		}
		if err := os.Remove(s.Path); err != nil {
			return err
		}
	}
	if err := s.create(unix.AF_UNIX, unix.SOCK_STREAM); err != nil {
		return err
	}
	if err := unix.Bind(s.fd, &unix.SockaddrUnix{Name: s.Path}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(s.Path, &st); err != nil {
		return os.NewSyscallError("stat", err)
	}
	s.dev, s.ino = uint64(st.Dev), st.Ino
	if err := os.Chmod(s.Path, 0o777); err != nil {
		return err
	}
	s.Name, s.Addr = s.Path, &net.UnixAddr{Name: s.Path, Net: "unix"}
	return s.listen(o)
}

// create makes the socket, which no program started meanwhile inherits.
func (s *Socket) create(family, kind int) error {
	fd, err := socketCloseOnExec(family, kind)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	s.fd = fd
	return nil
}

func (s *Socket) listen(o Options) error {
	backlog := o.Backlog
	if backlog == 0 {
		backlog = unix.SOMAXCONN
	}
	return os.NewSyscallError("listen", unix.Listen(s.fd, backlog))
}

// setName gives the socket bound to addr its name, with the port that the
// system chose if that was left to it.
func (s *Socket) setName(addr netip.AddrPort) error {
	if addr.Port() == 0 {
		sa, err := unix.Getsockname(s.fd)
		if err != nil {
			return os.NewSyscallError("getsockname", err)
		}
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			addr = netip.AddrPortFrom(addr.Addr(), uint16(sa.Port))
		case *unix.SockaddrInet6:
			addr = netip.AddrPortFrom(addr.Addr(), uint16(sa.Port))
		}
	}
	s.Name = s.name(addr.Port())
	if s.UDP {
		s.Addr = net.UDPAddrFromAddrPort(addr)
	} else {
		s.Addr = net.TCPAddrFromAddrPort(addr)
	}
	return nil
}

func sockaddr(addr netip.AddrPort) (unix.Sockaddr, error) {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}, nil
	}
	zone, err := zoneIndex(addr.Addr().Zone())
	return &unix.SockaddrInet6{Addr: addr.Addr().As16(), Port: int(addr.Port()), ZoneId: zone}, err
}

// zoneIndex is the number of the interface that a zone names, or is.
func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", zone, err)
	}
	return uint32(i.Index), nil
}

// maxFiles is how many descriptors we may have ourselves.
func maxFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}

// Close closes the sockets and removes the paths that are still ours. It may
// be called more than once.
func (s *Set) Close() error {
	var faults []error
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		if socket.fd < 0 {
			continue
		}
		var st unix.Stat_t
		if socket.ino != 0 && unix.Lstat(socket.Path, &st) == nil && uint64(st.Dev) == socket.dev && st.Ino == socket.ino {
			faults = append(faults, os.Remove(socket.Path))
		}
		faults = append(faults, os.NewSyscallError("close", unix.Close(socket.fd)))
		socket.fd = -1
	}
	return errors.Join(faults...)
}
