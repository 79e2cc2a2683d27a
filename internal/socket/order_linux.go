package socket

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is about a group in which a socket was shut down. The kernel moves the last socket
// of the group to that place, and the one that listens again becomes the last
// (__reuseport_detach_sock and reuseport_add_sock, net/core/sock_reuseport.c). The program of
// the group returns places: with the old order it would send clients to the wrong generation.

// mark is the maximum segment size by which socket 0 is known; socket N has mark+N. It is more
// than any network allows, so only clients of this machine notice: they get shorter segments.
const mark = 28000

// noSize is the TCP_MAXSEG of a listening socket on which none was set (TCP_MSS_DEFAULT of
// net/tcp.h).
const noSize = 536

// learn finds the order of the group by a connection of ours to each place: the socket there
// answers with a segment size of its own. Workers do not see these connections: meanwhile the
// sockets wait for first data (TCP_DEFER_ACCEPT), and the connections end before they send any.
// With SYN cookies a worker does see one, which is reset. For a place that does not answer at
// once, such as one with a full queue that cannot grow, the expected order holds: see after.
// learn blocks for learnTime at most.
func (s *Socket) learn(expected []int, slots int, o Options) error {
	all := s.files()
	found := make([]int, len(all))
	for place := range found {
		found[place] = -1
	}
	unmark := s.mark(all, o)
	end := time.Now().Add(learnTime)
	for place := 0; place < len(found) && time.Now().Before(end); {
		asked := min(len(found)-place, max(1, maxPrivate-len(s.split.private)))
		copy(found[place:], s.ask(place, asked, slots))
		place += asked
	}
	unmark()
	s.split.order = complete(found, expected)
	s.split.changes++
	return s.steer(slots)
}

// mark has each socket answer with a segment size of its own, even if its queue is full.
func (s *Socket) mark(all []int, o Options) (unmark func()) {
	defers, sizes, full := make([]int, len(all)), make([]int, len(all)), make([]bool, len(all))
	for number, n := range all {
		defers[number], _ = unix.GetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
		_ = unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1)
		if size, err := unix.GetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_MAXSEG); err == nil && size != noSize {
			sizes[number] = size // a worker has set it
		}
		_ = unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_MAXSEG, mark+number)
		if full[number] = isFull(n); full[number] {
			_ = unix.Listen(n, unix.SOMAXCONN)
		}
	}
	return func() {
		for number, n := range all {
			_ = unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, defers[number])
			_ = unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_MAXSEG, sizes[number])
			if full[number] && !isDeaf(n) { // if it was shut down again, that must be noticed
				_ = s.listen(n, o)
			}
		}
	}
}

// isFull tells whether the queue of a listening socket is full: tcpi_sacked is how many
// connections it may hold (tcp_get_info, net/ipv4/tcp.c).
func isFull(n int) bool {
	info, err := unix.GetsockoptTCPInfo(n, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.Unacked >= info.Sacked
}

// after is the expected order of n sockets when those with the numbers in deaf were shut down,
// one after the other, and listen again.
func (p *split) after(n int, deaf []int) []int {
	order := slices.Clone(p.order)
	if order == nil {
		for number := range n {
			order = append(order, number)
		}
	}
	for _, number := range deaf {
		last := len(order) - 1
		order[slices.Index(order, number)] = order[last]
		order = order[:last]
	}
	return append(order, deaf...)
}

// complete is the order that was found. A place where nothing was found, -1, gets the expected
// socket.
func complete(found, expected []int) []int {
	left := slices.Clone(expected)
	take := func(number int) bool {
		before := len(left)
		left = slices.DeleteFunc(left, func(n int) bool { return n == number })
		return len(left) < before
	}
	order := slices.Clone(found)
	for place, number := range order {
		if !take(number) {
			order[place] = -1
		}
	}
	for place, number := range order {
		if number < 0 && take(expected[place]) {
			order[place] = expected[place]
		}
	}
	for place, number := range order {
		if number < 0 {
			order[place], left = left[0], left[1:]
		}
	}
	return order
}

const (
	// learnTime is how long the other methods of a Set may have to wait.
	learnTime = 200 * time.Millisecond
	// answerTime is how long the sockets of this machine may take to answer.
	answerTime = 20 * time.Millisecond
)

// ask returns the numbers of the sockets at count places, from place on; -1: none answers there.
func (s *Socket) ask(place, count, slots int) []int {
	numbers := make([]int, count)
	fds := make([]int, count)
	tos := make([]unix.Sockaddr, count)
	for i := range fds {
		var err error
		if fds[i], tos[i], err = s.private(place + i); err != nil {
			fds[i] = -1
		}
	}
	steered := s.steer(slots)
	for i, n := range fds {
		if n >= 0 && steered == nil {
			_ = unix.Connect(n, tos[i]) // answered tells whether that worked
		}
	}
	for i, end := 0, time.Now().Add(answerTime); i < count; i++ {
		numbers[i] = answered(fds[i], end)
	}
	for _, n := range fds {
		if n >= 0 {
			s.split.forget(n)
			_ = unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(n)
		}
	}
	return numbers
}

// answered returns the number of the socket that answers in time; -1: none does.
func answered(n int, until time.Time) int {
	if n < 0 {
		return -1
	}
	for {
		wait := max(0, time.Until(until))
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(n), Events: unix.POLLOUT}}, int(wait.Milliseconds()))
		if err == nil && ready > 0 {
			break
		}
		if err != unix.EINTR { // Go's scheduler sends signals to threads
			return -1
		}
	}
	info, err := unix.GetsockoptTCPInfo(n, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.State != tcpEstablished {
		return -1
	}
	size := int(info.Snd_mss)
	if info.Options&timestamps != 0 {
		size += timestampSize
	}
	return size - mark
}

// timestamps is the flag that each segment has a time stamp (TCPI_OPT_TIMESTAMPS), which takes
// timestampSize bytes.
const (
	timestamps    = 1
	timestampSize = 12
)

// revive has sockets that were shut down listen again.
func (s *Socket) revive(deaf []int, slots int, o Options) error {
	var fault error // the first
	var numbers, failed []int
	for _, n := range deaf {
		number := slices.Index(s.files(), n)
		if err := s.relisten(n, o); err != nil { // the others may succeed
			fault = cmp.Or(fault, err)
			failed = append(failed, number)
			continue
		}
		numbers = append(numbers, number)
	}
	if len(*s.others) == 0 {
		return fault
	}
	// A socket that does not listen has no place. The others moved when it was shut down, and have
	// not moved since.
	expected := s.split.after(len(s.files()), append(numbers, failed...))
	if len(numbers) == 0 && slices.Equal(expected, s.split.order) {
		return fault
	}
	err := cmp.Or(fault, s.learn(expected, slots, o))
	for done := s.Sided; done; { // no worker has this socket, but the kernel may have chosen it meanwhile
		done, _ = closeOne((*s.others)[0])
	}
	return err
}

// relisten has a socket listen again, whatever a worker has done to it. The worker may have
// connected it, and switched off the options by which it shares its port.
func (s *Socket) relisten(n int, o Options) error {
	if state, err := tcpState(n); err == nil && state != tcpClose && state != tcpListen {
		disconnect(n)
	}
	if !s.Taken {
		if err := switchOn(n, unix.SOL_SOCKET, unix.SO_REUSEADDR, "SO_REUSEADDR"); err != nil {
			return err
		}
	}
	if s.Reuseport || len(*s.others) > 0 {
		if err := switchOn(n, unix.SOL_SOCKET, unix.SO_REUSEPORT, "SO_REUSEPORT"); err != nil {
			return err
		}
	}
	if err := s.rebind(n); err != nil {
		return err
	}
	return s.listen(n, o)
}

// disconnect resets a connection. The socket stays bound, unless the system has chosen its port
// (AF_UNSPEC, connect(2)).
func disconnect(n int) {
	var none unix.RawSockaddr
	_, _, _ = unix.RawSyscall(unix.SYS_CONNECT, uintptr(n), uintptr(unsafe.Pointer(&none)), unsafe.Sizeof(none)) // listen(2) will say
}

// rebind binds a socket to its port again: the shutdown has freed a port that the system had
// chosen. If the socket still has its port bind(2) fails, which does not matter. It is an error
// if another program has the port by now, because listen(2) would choose another port. It is also
// one if a worker has bound the socket to something else, which cannot be undone.
func (s *Socket) rebind(n int) error {
	to, err := sockaddr(s.bound)
	if err != nil {
		return nil
	}
	if unix.Bind(n, to) == unix.EADDRINUSE {
		return os.NewSyscallError("bind", unix.EADDRINUSE)
	}
	at, err := unix.Getsockname(n)
	if err == nil && endOf(at) != endOf(to) {
		return fmt.Errorf("it is bound to %v by now", endOf(at))
	}
	return nil
}
