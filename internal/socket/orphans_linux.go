package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is a process that may have sockets that are asked for.
type Process struct {
	Pid    int
	Handle int // a pidfd of it
	Parent int
}

// TakeFrom duplicates the sockets of other processes that are asked for and not held yet, for
// Options.Held (pidfd_getfd(2)). The processes keep theirs. The error names the first socket that
// could not be taken, and says why. It blocks while names are looked up, until ctx ends.
func TakeFrom(ctx context.Context, specs []Spec, held []*Held, from []Process) (taken []*Held, err error) {
	o := Options{Held: slices.Clone(held)}
	var fault error
	open := openSockets(from)
	for i := range specs {
		s := &specs[i]
		if s.Taken || o.take(s) != nil || s.Path == "" && s.Port == 0 {
			continue
		}
		addr, failed := netip.AddrPort{}, error(nil)
		if s.Path == "" {
			if addr, failed = s.resolve(ctx); failed != nil {
				continue // Bind reports that
			}
		}
		h, err := s.takeFrom(addr.Addr(), open)
		if err != nil {
			fault = cmp.Or(fault, fmt.Errorf("%s %q: %w", s.kind(), s.Text, err))
		}
		if h != nil {
			taken = append(taken, h)
		}
	}
	return taken, fault
}

// opened is what a process has open.
type opened struct {
	Process
	sockets map[string]int // its descriptor of each, by the name that /proc/PID/fd has
	err     error          // why sockets is not known

	parents   map[string]int // its parent's
	parentErr error
}

func openSockets(from []Process) []opened {
	var all []opened
	for _, p := range from {
		o := opened{Process: p}
		o.sockets, o.err = socketsOf(p.Pid)
		o.parents, o.parentErr = socketsOf(p.Parent)
		all = append(all, o)
	}
	return all
}

// socketsOf are the sockets that a process has open, by the names that /proc/PID/fd has.
func socketsOf(pid int) (map[string]int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sockets := map[string]int{}
	for _, e := range entries {
		name, err := os.Readlink(dir + "/" + e.Name())
		if n, failed := strconv.Atoi(e.Name()); err == nil && failed == nil && strings.HasPrefix(name, "socket:[") {
			sockets[name] = n
		}
	}
	return sockets, nil
}

// Has tells whether a process has one of the sockets of these numbers open.
func Has(pid int, inodes map[uint64]bool) bool {
	sockets, _ := socketsOf(pid)
	for name := range sockets {
		if n, err := strconv.ParseUint(strings.Trim(name, "socket:[]"), 10, 64); err == nil && inodes[n] {
			return true
		}
	}
	return false
}

// takeFrom takes the socket at an address, or with Reuseport those of all slots; nil: no
// process has it.
func (s *Spec) takeFrom(ip netip.Addr, from []opened) (*Held, error) {
	h := &Held{Key: s.key()}
	slots := map[int]int{} // of each of our descriptors
	var fault error
	for _, name := range s.inodes() {
		for slot, p := range from {
			if p.err != nil {
				fault = cmp.Or(fault, fmt.Errorf("cannot see what process %d (%s) has open: %w; run as root or as its user, or end it: kill %d", p.Pid, commandOf(p.Pid), p.err, p.Pid))
			}
			theirs, is := p.sockets[name]
			if !is {
				continue
			}
			n, err := p.get(theirs, name)
			if err != nil {
				fault = cmp.Or(fault, err)
				continue
			}
			if found, err := inspect(n); err == nil && s.isFor(found) && s.isAt(ip, n, found) && h.describe(found, n, s.uid-1) {
				h.FDs = append(h.FDs, n)
				slots[n] = slot
				break
			}
			unix.Close(n)
		}
	}
	if len(h.FDs) == 0 {
		return nil, fault
	}
	slices.SortFunc(h.FDs, func(a, b int) int { return cmp.Compare(slots[a], slots[b]) })
	reuseport, _ := unix.GetsockoptInt(h.FDs[0], unix.SOL_SOCKET, unix.SO_REUSEPORT)
	h.Slotted = reuseport != 0
	return h, nil
}

// isAt tells whether a socket is bound to an address, and takes IPv4 if and only if the
// specification says so.
func (s *Spec) isAt(ip netip.Addr, n int, found inherited) bool {
	if s.Path != "" {
		return true
	}
	addr, _ := addrPort(found.addr)
	if addr.Addr() != ip {
		return false
	}
	only, err := unix.GetsockoptInt(n, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	return ip.Is4() || err == nil && (only == 0) == s.DualStack
}

// errAlive says that a process is no orphan: its parent is alive, and has the socket, too.
var errAlive = errors.New("it is no orphan")

// get duplicates a socket of the process, if the parent of the process does not have it, too.
func (p *opened) get(theirs int, name string) (int, error) {
	who := fmt.Sprintf("process %d (%s)", p.Pid, commandOf(p.Pid))
	switch _, has := p.parents[name]; {
	case has:
		return -1, fmt.Errorf("%s: %w: its parent, process %d (%s), is alive and has the socket, too: stop that first", who, errAlive, p.Parent, commandOf(p.Parent))
	case p.parentErr != nil && p.Parent != 1:
		return -1, fmt.Errorf("%s: cannot see whether its parent, process %d (%s), has the socket, too: %w", who, p.Parent, commandOf(p.Parent), p.parentErr)
	}
	n, err := unix.PidfdGetfd(p.Handle, theirs, 0)
	switch {
	case errors.Is(err, unix.EPERM):
		return -1, fmt.Errorf("%s has it, and we may not take it from there: %w; run as root, or as its user with the right to trace it (ptrace(2)), or end it: kill %d", who, os.NewSyscallError("pidfd_getfd", err), p.Pid)
	case err != nil:
		return -1, fmt.Errorf("%s: %w", who, os.NewSyscallError("pidfd_getfd", err))
	}
	if ino, err := inode(n); err != nil || fmt.Sprintf("socket:[%d]", ino) != name {
		unix.Close(n)
		return -1, fmt.Errorf("%s has closed it just now", who)
	}
	return n, nil
}
