package socket

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// random is where a program finds a random number (SKF_AD_OFF + SKF_AD_RANDOM,
// linux/filter.h).
const random = 1<<32 - 0x1000 + 56

// steering is the program of a group with two sides. It chooses the slot as steering(n) does,
// and the side at random. A connection of ours goes to its own place.
func (p *split) steering(n int) []unix.SockFilter {
	program := append(p.apart(), hashing(n)...)
	side, other := p.set(p.side), p.set(1-p.side)
	switch {
	case p.Early:
		return append(program, p.to(p.EarlyIn, n)...)
	case p.share == All:
		return append(program, p.to(side, n)...)
	case p.share == 0:
		return append(program, p.to(other, n)...)
	default:
		keep, again := unix.SockFilter{Code: unix.BPF_ST, K: 1}, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_MEM, K: 1}
		first := append([]unix.SockFilter{again}, p.to(side, n)...)
		program = append(program, keep,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: random}, alu(unix.BPF_MOD, All),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: uint32(p.share), Jf: 1}, skip(uint32(len(first))))
		return append(append(append(program, first...), again), p.to(other, n)...)
	}
}

// to is the part of a program that returns a place: that of the slot in A, of n slots, in a set.
func (p *split) to(set, n int) []unix.SockFilter {
	if p.order == nil {
		return []unix.SockFilter{
			alu(unix.BPF_MUL, Sides), alu(unix.BPF_ADD, uint32(set)),
			equal(0, 1, 0), alu(unix.BPF_ADD, 1), retA,
		}
	}
	return p.table(n, func(slot int) int { return nth(slot, set) })
}

// table is the part of a program that returns a place: that of the socket whose number the slot
// in A has, of n slots.
func (p *split) table(n int, number func(slot int) int) []unix.SockFilter {
	var table []unix.SockFilter
	for slot := range n {
		table = append(table, equal(uint32(slot), 0, 1), ret(p.place(number(slot))))
	}
	return append(table, ret(p.place(number(0))))
}

// spreading is the program of a group without sides: steering(n), as long as each socket is at
// the place of its slot.
func (p *split) spreading(n int) []unix.SockFilter {
	if p.order == nil {
		return append(p.apart(), steering(n)...)
	}
	return append(append(p.apart(), hashing(n)...), p.table(n, func(slot int) int { return slot })...)
}

func ret(k int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(k)}
}

// apart is the part of a program that returns the place for a connection of ours. Such a
// connection comes from the address that it goes to, which none from another machine can, and
// from a port that only we have there.
func (p *split) apart() []unix.SockFilter {
	if len(p.private) == 0 {
		return nil
	}
	byX := func(op uint16) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_ALU | op | unix.BPF_X} }
	// This word is 0 only if the addresses are the same.
	differs, loadDiffers := unix.SockFilter{Code: unix.BPF_ST, K: 2}, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_MEM, K: 2}
	ipv4 := append([]unix.SockFilter{load(unix.BPF_W, 12), tax, load(unix.BPF_W, 16), byX(unix.BPF_XOR), differs}, headerX...)
	ipv4 = append(ipv4, loadPortX)
	ipv6 := []unix.SockFilter{load(unix.BPF_W, 8), tax, load(unix.BPF_W, 24), byX(unix.BPF_XOR), differs}
	for _, word := range []uint32{12, 16, 20} {
		ipv6 = append(ipv6, load(unix.BPF_W, word), tax, load(unix.BPF_W, word+16), byX(unix.BPF_XOR), tax, loadDiffers, byX(unix.BPF_OR), differs)
	}
	ipv6 = append(ipv6, load(unix.BPF_H, 40))
	ipv4 = append(ipv4, skip(uint32(len(ipv6))))

	program := append([]unix.SockFilter{load(unix.BPF_B, 0), alu(unix.BPF_RSH, 4), equal(6, uint8(len(ipv4)), 0)}, append(ipv4, ipv6...)...)
	places := []unix.SockFilter{{Code: unix.BPF_MISC | unix.BPF_TXA}}
	for _, c := range p.private {
		places = append(places, equal(uint32(c.port), 0, 1), ret(c.place))
	}
	program = append(program, tax, loadDiffers, equal(0, 0, uint8(len(places))))
	return append(program, places...)
}

// lock keeps every process that has a socket from attaching a program to it or its group
// (SO_LOCK_FILTER, socket(7)). It cannot be undone.
func lock(n int) error {
	return os.NewSyscallError("setsockopt(SO_LOCK_FILTER)", unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_LOCK_FILTER, 1))
}

// maxPrivate is how many connections of ours to a port may be under way at once.
const maxPrivate = 64

// errMoved says that a connection of ours may have gone to the wrong socket.
var errMoved = errors.New("a worker has shut down a socket of this port meanwhile")

// movePause is usually enough for such a socket to listen again.
const movePause = 5 * time.Millisecond

// Connect connects to the socket of a slot on a side: only the workers there can accept the
// connection, whatever share the side has. i is the place of the port in Sockets. It blocks
// until the connection is in the queue, or ctx ends. The descriptor is the caller's, is
// close-on-exec and does not block.
func (s *Set) Connect(ctx context.Context, i, slot, side int) (int, error) {
	for {
		n, err := s.connect(ctx, i, slot, side)
		if errors.Is(err, errMoved) && ctx.Err() == nil {
			time.Sleep(movePause)
			continue
		}
		if err != nil {
			return -1, fmt.Errorf("cannot connect to port %q: %w", s.Sockets[i].Text, err)
		}
		return n, nil
	}
}

// connect is one try of Connect.
func (s *Set) connect(ctx context.Context, i, slot, side int) (int, error) {
	n, to, changes, err := s.beginPrivate(i, slot, side)
	if err != nil {
		return -1, err
	}
	err = unix.Connect(n, to)
	if errors.Is(err, unix.EINPROGRESS) {
		err = connected(ctx, n)
	}
	if moved := s.endPrivate(i, n, side, changes, err == nil); moved {
		err = errMoved // even if it is connected
	}
	if err != nil {
		unix.Close(n)
		return -1, err
	}
	return n, nil
}

// connected blocks until a socket is connected, or has failed to.
func connected(ctx context.Context, n int) error {
	const look = 20 * time.Millisecond
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(n), Events: unix.POLLOUT}}, int(look.Milliseconds()))
		switch {
		case ready > 0:
			code, err := unix.GetsockoptInt(n, unix.SOL_SOCKET, unix.SO_ERROR)
			if err == nil && code != 0 {
				err = unix.Errno(code)
			}
			return err
		case err != nil && !errors.Is(err, unix.EINTR):
			return os.NewSyscallError("poll", err)
		case ctx.Err() != nil:
			return errors.New("its accept queue is full")
		}
	}
}

// beginPrivate makes a socket whose connection goes to that slot and side, as long as the order
// of the group stays as it is: changes is how often it has changed.
func (s *Set) beginPrivate(i, slot, side int) (n int, to unix.Sockaddr, changes int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	socket := &s.Sockets[i]
	switch {
	case s.closed:
		return -1, nil, 0, errors.New("it is closed")
	case !socket.Sided || slot >= socket.slots():
		return -1, nil, 0, fmt.Errorf("slot %d has no socket of its own", slot)
	case socket.split.lacks(side):
		return -1, nil, 0, ErrLacks
	case len(socket.split.private) >= maxPrivate:
		return -1, nil, 0, errors.New("too many of our own connections are under way")
	}
	if n, to, err = socket.private(socket.split.place(socket.nth(slot, side))); err != nil {
		return -1, nil, 0, err
	}
	socket.deferAccept(false)
	if err := socket.steer(s.steeredOf(socket)); err != nil {
		socket.forget(n)
		unix.Close(n)
		return -1, nil, 0, err
	}
	return n, to, socket.split.changes, nil
}

// private makes a socket whose connection goes to that place of the group, after the next call
// of steer.
func (s *Socket) private(place int) (n int, to unix.Sockaddr, err error) {
	addr := s.bound
	switch {
	case addr.Addr() == netip.IPv4Unspecified(), addr.Addr() == netip.IPv6Unspecified() && s.DualStack:
		// With both families, too: a container may have no IPv6 address, not even ::1.
		addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	case addr.Addr() == netip.IPv6Unspecified():
		addr = netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	if n, err = fd.Socket(family, unix.SOCK_STREAM); err != nil {
		return -1, nil, err
	}
	defer func() {
		if err != nil {
			unix.Close(n)
			n = -1
		}
	}()
	if to, err = sockaddr(addr); err != nil {
		return n, nil, err
	}
	from, err := sockaddr(netip.AddrPortFrom(addr.Addr(), 0))
	if err != nil {
		return n, nil, err
	}
	if err := unix.SetNonblock(n, true); err != nil {
		return n, nil, os.NewSyscallError("fcntl(O_NONBLOCK)", err)
	}
	if err := unix.Bind(n, from); err != nil {
		return n, nil, os.NewSyscallError("bind", err)
	}
	port, err := boundPort(n)
	if err != nil {
		return n, nil, err
	}
	s.split.private = append(s.split.private, private{port, place, n})
	return n, to, nil
}

// endPrivate ends what beginPrivate began; made tells whether it is connected. moved tells whether
// it may be connected to another socket: the order of the group has changed since, or a socket was
// shut down just now and the new order is not known yet.
func (s *Set) endPrivate(i, n, side, changes int, made bool) (moved bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made {
		s.own[side]++
	}
	socket := &s.Sockets[i]
	if s.closed {
		socket.split.forget(n)
		return false
	}
	socket.forget(n)
	_ = socket.steer(s.steeredOf(socket)) // if that fails the program keeps a place that nobody asks for
	return socket.split.changes != changes || slices.ContainsFunc(socket.files(), isDeaf)
}

// deferAccept switches TCP_DEFER_ACCEPT of a port with that option on or off. It is off while
// connections of ours are made: workers must accept these before any data comes, because a probe
// checks which worker has accepted one.
func (s *Socket) deferAccept(on bool) {
	if !s.DeferAccept {
		return
	}
	value := 0
	if on {
		value = 1
	}
	for _, n := range s.files() {
		_ = unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, value)
	}
}

// forget is for a connection of ours that is not under way any more.
func (s *Socket) forget(n int) {
	s.split.forget(n)
	if len(s.split.private) == 0 {
		s.deferAccept(true)
	}
}

func (p *split) forget(n int) {
	p.private = slices.DeleteFunc(p.private, func(c private) bool { return c.fd == n })
}

// boundPort is the port that a socket is bound to.
func boundPort(n int) (uint16, error) {
	sa, err := unix.Getsockname(n)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port), err
	case *unix.SockaddrInet6:
		return uint16(sa.Port), err
	}
	return 0, os.NewSyscallError("getsockname", err)
}

// Clear resets the connections that wait on a side that no worker has any more and that gets no
// new ones, and says how many there were. Their clients hear of it at once. It does not block.
func (s *Set) Clear(side int) (closed int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, nil
	}
	for socket := range s.sided() {
		for _, n := range socket.leaving(side) {
			for {
				done, err := closeOne(n)
				if err != nil {
					return closed, fmt.Errorf("port %q: cannot close what nobody has accepted: %w", socket.Text, err)
				}
				if !done {
					break
				}
				closed++
			}
		}
	}
	return closed, nil
}

// closeOne accepts and resets a connection, if one waits. A process that a worker has started
// may have the socket, too, and accept it first: SO_RCVTIMEO keeps accept(2) from blocking then.
func closeOne(n int) (done bool, err error) {
	if ready, err := waiting(n); ready == 0 || err != nil {
		return false, err
	}
	if err := unix.SetsockoptTimeval(n, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 1000}); err != nil {
		return false, os.NewSyscallError("setsockopt(SO_RCVTIMEO)", err)
	}
	conn, _, err := unix.Accept4(n, unix.SOCK_CLOEXEC)
	_ = unix.SetsockoptTimeval(n, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EINVAL) {
		return false, nil // another process took it, or has shut the socket down
	}
	if err != nil {
		return false, os.NewSyscallError("accept", err)
	}
	_ = unix.SetsockoptLinger(conn, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	return true, os.NewSyscallError("close", unix.Close(conn))
}
