package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Socket is a bound socket. Whether it blocks is set once, when it is bound: the flag
// O_NONBLOCK is shared with every worker that has the socket.
type Socket struct {
	Spec
	Name string   // in SERVER_STARTER_PORT, with the real port
	FD   int      // the worker's descriptor
	Addr net.Addr // the real one

	fd     int    // our descriptor; with Reuseport that of slot 0
	others *[]int // with Reuseport those of the slots from 1 on, see Sides; Grow adds to them
	split  *split // with Sided
	bound  netip.AddrPort
	file   *fd.Bound // of a path
}

// Set is all sockets of a superdaemon. The zero Set has none. Its methods may be called
// from any goroutine, also after Close. Sockets does not change after Bind, and may be
// read at any time.
type Set struct {
	Sockets []Socket

	mu      sync.Mutex // guards what is done to sockets
	options Options
	closed  bool
	own     [Sides]int // how many connections we made to each side, see Connect
	gone    []gone
	held    []*Held  // of the last image, by socket; nil: it is a new one
	watched *os.File // an epoll(7), see Deaf; nil: there is nothing to watch
}

// Options are what all sockets of a set share.
type Options struct {
	Backlog int // for listen(2), unless a socket has its own; 0: SOMAXCONN
	// Slots is how many sockets are made for each address with Reuseport. 0: 1.
	Slots int
	// Removing is called, from any goroutine, before an existing socket file is removed.
	Removing func(path string)
	// Held are the sockets of the last image of this program. Those that are asked for
	// again are kept, with their queues.
	Held []*Held
	// Again says that the last image of this program has taken the sockets that were passed:
	// workers have them.
	Again bool
	// Stays is called, from any goroutine, for what a held socket keeps from the last image: it
	// is not asked for any more, but cannot be taken back. nil: it is not reported.
	Stays func(what string)
	// KeepPaths has Close leave the paths where they are, for sockets that another process
	// has, too.
	KeepPaths bool

	steered int // how many slots get new connections, if the system can steer
}

// spareFiles is how many descriptors a worker needs beside its sockets, at least.
const spareFiles = 16

// Bind binds all sockets, or none: an error says which one could not be bound, and why.
// Call Check first. To look up a host name may block until ctx ends.
//
// The descriptor N of fd://N stays the caller's, which may close it afterwards. 0, 1 and 2
// are replaced by /dev/null.
func Bind(ctx context.Context, specs []Spec, o Options) (*Set, error) {
	o.Slots = max(o.Slots, 1)
	o.steered = o.Slots
	o.Held = slices.Clone(o.Held)
	set := &Set{Sockets: Plan(specs), options: o}
	if err := set.Fit(maxFiles()); err != nil {
		return nil, err
	}
	held := make([]*Held, len(set.Sockets))
	for i := range set.Sockets { // in order: with port 0 several may ask for the same
		held[i] = o.take(&set.Sockets[i].Spec)
	}
	for _, h := range o.Held {
		if h != nil {
			set.leave(h)
		}
	}
	for _, h := range held {
		if h != nil && h.Slotted && h.Steered > 0 { // the loop changes that when there are more workers, or fewer
			o.steered, set.options.steered = h.Steered, h.Steered
		}
	}
	err := bindAll(ctx, set.Sockets, held, o)
	set.sort(held)
	if err == nil {
		err = set.plug()
	}
	if err == nil {
		err = set.watch()
	}
	if err != nil && len(o.Held) > 0 {
		return nil, errors.Join(err, set.Abandon())
	}
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return set, nil
}

// manySockets is the number of sockets above which a second thread is worth its cost.
const manySockets = 100

// bindAll binds the sockets, on all processors if there are many: each takes the kernel
// some 20 microseconds. The error is that of the first in order.
func bindAll(ctx context.Context, sockets []Socket, held []*Held, o Options) error {
	if len(sockets) <= manySockets {
		return bindEach(ctx, sockets, held, o)
	}
	half := len(sockets) / 2
	second := make(chan error, 1)
	go func() { second <- bindAll(ctx, sockets[half:], held[half:], o) }()
	first := bindAll(ctx, sockets[:half], held[:half], o)
	return cmp.Or(first, <-second)
}

func bindEach(ctx context.Context, sockets []Socket, held []*Held, o Options) error {
	for i := range sockets {
		if err := sockets[i].bind(ctx, held[i], o); err != nil {
			return err
		}
	}
	return nil
}

// Addrs are the addresses of the sockets, in order.
func (s *Set) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, socket := range s.Sockets {
		addrs = append(addrs, socket.Addr)
	}
	return addrs
}

// Fit says why the sockets and some spare descriptors do not fit into limit, a worker's
// RLIMIT_NOFILE. A limit of 0 is unknown, and always fits.
func (s *Set) Fit(limit uint64) error {
	highest := 2
	for _, socket := range s.Sockets {
		highest = max(highest, socket.FD)
	}
	if limit == 0 || len(s.Sockets) == 0 || uint64(highest+spareFiles) < limit {
		return nil
	}
	return fmt.Errorf("%s %s up to descriptor %d, and RLIMIT_NOFILE is %d: raise it (ulimit -n %d)",
		text.Count(len(s.Sockets), "socket"), text.Verb(len(s.Sockets), "reaches", "reach"), highest, limit, highest+1024)
}

// Table is the descriptors that a worker gets, by its slot and its generation's side: table[n]
// is our descriptor for its n; -1: it has no n. 0, 1 and 2 are stdin, stdout and stderr unless
// a socket is pinned there. A slot without a socket of its own gets that of slot 0.
func (s *Set) Table(slot, side, stdin, stdout, stderr int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	table := []int{stdin, stdout, stderr}
	for _, socket := range s.Sockets {
		for len(table) <= socket.FD {
			table = append(table, -1)
		}
		table[socket.FD] = socket.at(slot, side)
	}
	return table
}

// Lost are the paths that were removed or replaced since they were bound, so that no
// client can connect to them.
func (s *Set) Lost() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	var lost []string
	for i := range s.Sockets {
		if socket := &s.Sockets[i]; socket.file != nil && socket.file.Lost() {
			lost = append(lost, socket.Path)
		}
	}
	return lost
}

// Close closes the sockets and removes their paths if they are still ours, unless
// Options.KeepPaths says no. It may be called more than once.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var faults []error
	s.unwatch()
	for i := range s.Sockets {
		if s.options.KeepPaths {
			s.Sockets[i].file = nil
		}
		faults = append(faults, s.Sockets[i].close())
	}
	return errors.Join(faults...)
}

func (s *Set) unwatch() {
	if s.watched != nil {
		s.watched.Close()
		s.watched = nil
	}
}

// KeepPaths sets Options.KeepPaths.
func (s *Set) KeepPaths(keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.KeepPaths = keep
}

// resolve finds the address to bind: for a host name the first of its family.
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

// name is the socket's name in SERVER_STARTER_PORT, with the real port.
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
