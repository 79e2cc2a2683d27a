//go:build unix

package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// The sockets are made with socket(2), bind(2) and listen(2). Package net would make them
// nonblocking and MPTCP, choose the backlog, and register them with Go's poller, so that
// the superdaemon wakes for every connection.

func (s *Socket) bind(ctx context.Context, held *Held, o Options) error {
	done, err := false, error(nil)
	if held != nil {
		done, err = s.adopt(held, o)
	}
	switch {
	case err != nil || done:
	case s.Taken:
		return s.take(o.Again)
	case s.Path != "":
		err = s.bindPath(o)
	default:
		err = s.bindPort(ctx, o)
	}
	if err == nil {
		return nil
	}
	fault := fmt.Errorf("cannot bind %s %q: %w", s.kind(), s.Text, err)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return &InUseError{s.holders(), fault, "stop what uses it, or choose another one"}
	case errors.Is(err, fd.ErrListening):
		return &InUseError{s.holders(), fault, "stop it, or choose another path"}
	case errors.Is(err, unix.EACCES) && s.Path == "":
		return fmt.Errorf("%w; ports below 1024 need root or CAP_NET_BIND_SERVICE", fault)
	}
	return fault
}

func (s *Socket) bindPort(ctx context.Context, o Options) error {
	addr, err := s.resolve(ctx)
	if err != nil {
		return err
	}
	if s.fd, err = s.open(addr, false, o); err != nil {
		return err
	}
	if err := s.setName(addr); err != nil {
		return err
	}
	return s.fill(o.Slots, o)
}

// open makes a socket, binds it and, unless it is UDP, has it listen. With joining it shares
// the address of one of our sockets (SO_REUSEPORT).
//
// The first socket of a group is bound without SO_REUSEPORT, which is set afterwards. So
// it is an error if another program has the port, and a free port chosen by the system is
// ours alone. Another user can never join the group. On Linux a program of our own user
// can, but gets nothing once Steer has been called. Two superdaemons of one user could
// both bind a TCP port in the microseconds from bind(2) to listen(2): the pid file
// prevents that.
func (s *Socket) open(addr netip.AddrPort, joining bool, o Options) (n int, err error) {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	if s.UDP {
		kind = unix.SOCK_DGRAM
	}
	address, err := sockaddr(addr)
	if err != nil {
		return -1, err
	}
	if n, err = fd.Socket(family, kind); err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(n)
			n = -1
		}
	}()
	if family == unix.AF_INET6 {
		only := 1
		if s.DualStack {
			only = 0
		}
		if err := unix.SetsockoptInt(n, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return n, os.NewSyscallError("setsockopt(IPV6_V6ONLY)", err)
		}
	}
	// Never on UDP: if both sockets have SO_REUSEADDR, Linux lets any user bind the port,
	// too, and that socket gets the packets.
	if !s.UDP {
		if err := switchOn(n, unix.SOL_SOCKET, unix.SO_REUSEADDR, "SO_REUSEADDR"); err != nil {
			return n, err
		}
	}
	if joining {
		if err := switchOn(n, unix.SOL_SOCKET, unix.SO_REUSEPORT, "SO_REUSEPORT"); err != nil {
			return n, err
		}
	}
	if err := unix.Bind(n, address); err != nil {
		return n, os.NewSyscallError("bind", err)
	}
	if s.Reuseport && !joining {
		if err := switchOn(n, unix.SOL_SOCKET, unix.SO_REUSEPORT, "SO_REUSEPORT"); err != nil {
			return n, err
		}
	}
	if err := s.applyTuning(n); err != nil || s.UDP {
		return n, err
	}
	return n, s.listen(n, o)
}

// switchOn sets a socket option to 1.
func switchOn(fd, level, option int, name string) error {
	return os.NewSyscallError("setsockopt("+name+")", unix.SetsockoptInt(fd, level, option, 1))
}

// mode is the permissions of the path's file.
func (s *Socket) mode() fs.FileMode {
	if !s.HasMode {
		return 0o777
	}
	return s.Mode
}

// bindPath binds a unix socket. It sets the mode, 0777 or the one asked for, before listen(2),
// while nobody can connect. It does not use umask(2), which belongs to the whole process.
func (s *Socket) bindPath(o Options) error {
	var err error
	if s.fd, err = fd.Socket(unix.AF_UNIX, unix.SOCK_STREAM); err != nil {
		return err
	}
	if s.Owner != "" && s.uid == 0 || s.Group != "" && s.gid == 0 {
		return errors.New("its owner has not been looked up")
	}
	removing := func() {
		if o.Removing != nil {
			o.Removing(s.Path)
		}
	}
	s.file, err = fd.Bind(s.fd, s.Path, s.mode(), s.uid-1, s.gid-1, removing)
	if errors.Is(err, fd.ErrNoSocket) {
		return errors.New("the path is taken by something that is not a socket, which is not removed")
	}
	if err != nil {
		return err
	}
	if err := s.applyTuning(s.fd); err != nil {
		return err
	}
	s.Name, s.Addr = s.Path, &net.UnixAddr{Name: s.Path, Net: "unix"}
	return s.listen(s.fd, o)
}

func (s *Socket) listen(fd int, o Options) error {
	backlog := cmp.Or(s.Backlog, o.Backlog, unix.SOMAXCONN)
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}

// setName names the socket bound to addr. Port 0 is replaced by the port that the system
// has chosen.
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
	s.bound, s.Name = addr, s.name(addr.Port())
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

// zoneIndex is the index of the interface that a zone gives by name or number.
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

// maxFiles is our own soft RLIMIT_NOFILE; 0 if it is not known.
func maxFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}

// close closes the socket's descriptors and removes its path if that is still ours.
func (s *Socket) close() error {
	if s.fd < 0 {
		return nil
	}
	var faults []error
	if s.file != nil {
		faults = append(faults, s.file.Remove())
	}
	for _, fd := range append(*s.others, s.fd) {
		// A worker may have shut it down, connected it, and set SO_LINGER: close(2) would then
		// block for the linger time.
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
		faults = append(faults, os.NewSyscallError("close", unix.Close(fd)))
	}
	s.fd, *s.others = -1, nil
	return errors.Join(faults...)
}

// umask is this process's umask. To read it, it has to be changed for a moment.
func umask() int {
	mask := unix.Umask(0)
	unix.Umask(mask)
	return mask
}
