package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// Socket is a bound socket. The open file behind it is blocking from the
// start and its flags are never touched again: O_NONBLOCK is shared with every
// worker that ever got it.
type Socket struct {
	Spec
	Name string   // as SERVER_STARTER_PORT has it, with the real port
	FD   int      // where the worker finds it
	Addr net.Addr // where it is bound

	fd     int    // ours; with Reuseport that of slot 0
	others *[]int // with Reuseport those of the slots from 1 on; the only thing that changes
	bound  netip.AddrPort
	file   *fd.Bound // of a path
}

// Set is all sockets of a superdaemon. The zero Set has none. Its methods may be
// called from any goroutine, also after Close, when there is no socket left. Sockets
// never changes after Bind and may be read at any time.
type Set struct {
	Sockets []Socket

	mu      sync.Mutex // guards what is done to sockets
	options Options
	closed  bool
}

// Options are what all sockets of a set share.
type Options struct {
	Backlog int // for listen(2), where a socket has none of its own; 0: the system's SOMAXCONN
	// Slots is how many workers share what is bound with Reuseport, each
	// having a socket of its own. 0: 1.
	Slots int
	// Removing is told of an existing socket file before it is removed, from
	// any goroutine.
	Removing func(path string)

	steered int // new connections go to so many slots, if the system can do that
}

// spareFiles is what a worker at least needs beside its sockets.
const spareFiles = 16

// Bind binds all sockets, or none: an error says which could not be bound, and
// why. Check comes first. Looking up a host name may take as long as the resolver
// does, unless ctx ends.
//
// A descriptor taken from our own process stays the caller's, who may close it
// afterwards; of 0, 1 and 2 there is /dev/null in the place then.
func Bind(ctx context.Context, specs []Spec, o Options) (*Set, error) {
	o.Slots = max(o.Slots, 1)
	o.steered = o.Slots
	set := &Set{Sockets: Plan(specs), options: o}
	if err := set.Fit(maxFiles()); err != nil {
		return nil, err
	}
	err := bindAll(ctx, set.Sockets, o)
	if err == nil {
		err = set.plug()
	}
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return set, nil
}

// manySockets are worth being bound by another thread.
const manySockets = 100

// bindAll binds the sockets, on all processors if there are many: the kernel
// takes some 20 microseconds for each. The error is the first one's in order.
func bindAll(ctx context.Context, sockets []Socket, o Options) error {
	if len(sockets) <= manySockets {
		return bindEach(ctx, sockets, o)
	}
	half := len(sockets) / 2
	second := make(chan error, 1)
	go func() { second <- bindAll(ctx, sockets[half:], o) }()
	first := bindAll(ctx, sockets[:half], o)
	return cmp.Or(first, <-second)
}

func bindEach(ctx context.Context, sockets []Socket, o Options) error {
	for i := range sockets {
		if err := sockets[i].bind(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// Fit says whether a worker that may have limit descriptors, RLIMIT_NOFILE, can
// have these and some more. A limit of 0 is not known, and always fits.
func (s *Set) Fit(limit uint64) error {
	highest := 2
	for _, socket := range s.Sockets {
		highest = max(highest, socket.FD)
	}
	if limit == 0 || len(s.Sockets) == 0 || uint64(highest+spareFiles) < limit {
		return nil
	}
	return fmt.Errorf("%d sockets reach up to descriptor %d, and RLIMIT_NOFILE is %d: raise it (ulimit -n %d)",
		len(s.Sockets), highest, limit, highest+1024)
}

// Table is what the worker in a slot gets: our descriptor for each of its numbers
// from 0 on, -1 where there is none. 0, 1 and 2 are those given unless a socket
// is pinned there. Where the slot has no socket of its own it is the first's.
func (s *Set) Table(slot, stdin, stdout, stderr int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	table := []int{stdin, stdout, stderr}
	for _, socket := range s.Sockets {
		for len(table) <= socket.FD {
			table = append(table, -1)
		}
		table[socket.FD] = socket.fd
		if others := *socket.others; slot > 0 && slot <= len(others) {
			table[socket.FD] = others[slot-1]
		}
	}
	return table
}

// Lost are the paths that are not, or not any more, those of the sockets bound to
// them: somebody has removed or replaced them, and nobody can connect.
func (s *Set) Lost() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lost []string
	for i := range s.Sockets {
		if socket := &s.Sockets[i]; !s.closed && socket.file != nil && socket.file.Lost() {
			lost = append(lost, socket.Path)
		}
	}
	return lost
}

// Close closes the sockets and removes the paths that are still ours. It may
// be called more than once.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var faults []error
	for i := range s.Sockets {
		faults = append(faults, s.Sockets[i].close())
	}
	return errors.Join(faults...)
}

// resolve finds the address to bind: for a host name its first IPv4 address.
func (s *Spec) resolve(ctx context.Context) (netip.AddrPort, error) {
	if s.IP.IsValid() {
		return netip.AddrPortFrom(s.IP, s.Port), nil
	}
	network := "ip4"
	if s.Family == 6 {
		network = "ip6"
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, s.Host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), s.Port), nil
}

// name is how the worker is told of the socket, port being the real one.
func (s *Spec) name(port uint16) string {
	switch {
	case s.Path != "":
		return s.Path
	case s.Host == "":
		return fmt.Sprint(port)
	case s.IP.Is6():
		return fmt.Sprintf("[%s]:%d", s.Host, port)
	}
	return fmt.Sprintf("%s:%d", s.Host, port)
}
