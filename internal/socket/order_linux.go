package socket

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// This file is about a group of which somebody has shut a socket down: the kernel has moved
// its last socket to that place, and the one that listens again is the last now
// (__reuseport_detach_sock and reuseport_add_sock, net/core/sock_reuseport.c). The program
// of the group returns places, and would send clients to the wrong generation.

// mark is the least maximum segment size that tells who has answered. It is more than the
// network of any client allows, so nobody else sees it.
const mark = 28000

// learn asks the kernel for the order of the group, by a connection of ours to each place: the
// socket there answers with a segment size of its own. Workers do not see these connections,
// which end before the first data that their sockets wait for meanwhile (TCP_DEFER_ACCEPT).
// A place that does not answer at once, as one whose queue is full, is taken for one of those
// that are left. It blocks for learnTime at most.
func (s *Socket) learn(slots int) error {
	all := s.files()
	defers := make([]int, len(all))
	for number, n := range all {
		defers[number], _ = unix.GetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
		_ = unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1)
		_ = unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_MAXSEG, mark+number)
	}
	order := make([]int, len(all))
	left := map[int]bool{}
	for number := range all {
		left[number] = true
	}
	for end, place := time.Now().Add(learnTime), 0; place < len(order); place++ {
		order[place] = -1
		if time.Now().Before(end) {
			order[place] = s.ask(place, slots)
		}
		if !left[order[place]] {
			order[place] = -1 // it is not known
		}
		delete(left, order[place])
	}
	for number, n := range all {
		_ = unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, defers[number])
		_ = unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_MAXSEG, 0)
	}
	for place, number := range order {
		if number >= 0 {
			continue
		}
		if number = place; !left[number] {
			number = firstOf(left)
		}
		order[place] = number
		delete(left, number)
	}
	s.split.order = order
	return s.steer(slots)
}

func firstOf(left map[int]bool) int {
	numbers := make([]int, 0, len(left))
	for number := range left {
		numbers = append(numbers, number)
	}
	return slices.Min(numbers)
}

const (
	// learnTime is how long the other methods of a Set may have to wait.
	learnTime = 200 * time.Millisecond
	// answerTime is how long, in milliseconds, a socket of this machine may take to answer.
	answerTime = 20
)

// ask returns the number of the socket at a place; -1: it does not answer.
func (s *Socket) ask(place, slots int) int {
	n, to, err := s.private(place, slots)
	if err != nil {
		return -1
	}
	defer func() {
		s.split.forget(n)
		_ = unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		unix.Close(n)
	}()
	if err := unix.Connect(n, to); err != nil && err != unix.EINPROGRESS {
		return -1
	}
	if ready, err := unix.Poll([]unix.PollFd{{Fd: int32(n), Events: unix.POLLOUT}}, answerTime); err != nil || ready == 0 {
		return -1
	}
	info, err := unix.GetsockoptTCPInfo(n, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return -1
	}
	size := int(info.Snd_mss)
	if info.Options&timestamps != 0 {
		size += timestampSize
	}
	return size - mark
}

// timestamps tells that each segment has a time stamp (TCPI_OPT_TIMESTAMPS), in so many bytes.
const (
	timestamps    = 1
	timestampSize = 12
)

// revive has sockets that were shut down listen again.
func (s *Socket) revive(deaf []int, slots int, o Options) error {
	for _, n := range deaf {
		if s.bound.IsValid() {
			s.rebind(n)
		}
		if err := s.listen(n, o); err != nil {
			return err
		}
	}
	if !s.Sided {
		return nil
	}
	err := s.learn(slots)
	for done := true; done; { // which nobody has, but the kernel may have chosen meanwhile
		done, _ = closeOne((*s.others)[0])
	}
	return err
}

// rebind binds a socket to its port again, which it loses if the system had chosen that. If
// it has not lost it, that fails.
func (s *Socket) rebind(n int) {
	if to, err := sockaddr(s.bound); err == nil {
		_ = unix.Bind(n, to)
	}
}
