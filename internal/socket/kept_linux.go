package socket

import (
	"cmp"
	"slices"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"golang.org/x/sys/unix"
)

// Unkept compares the sockets with what is kept in the descriptor store: unkept is what is
// missing there, and gone are the names of what is to be removed first. It does not block.
func (s *Set) Unkept(kept []Kept) (unkept []Unkept, gone []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, nil
	}
	missing := map[string]uint64{}
	for _, k := range kept {
		missing[k.Name] = k.Ino
	}
	nth := map[string]int{}
	for _, h := range s.all() {
		for slot, n := range h.FDs {
			if !h.Slotted {
				slot = unslotted
			}
			name := keptName(h.Key, nth[h.Key], slot)
			ino, failed := inode(n)
			was, is := missing[name]
			delete(missing, name)
			if is && was == ino || failed != nil {
				continue
			}
			if is {
				gone = append(gone, name)
			}
			if n, err = fd.Dup(n); err != nil {
				return unkept, gone, err
			}
			unkept = append(unkept, Unkept{Kept{name, ino}, n})
		}
		nth[h.Key]++
	}
	for name := range missing {
		gone = append(gone, name)
	}
	slices.Sort(gone)
	return unkept, gone, nil
}

// inode is the number of a socket.
func inode(n int) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(n, &st)
	return st.Ino, err
}

// Restore makes Options.Held from the sockets that a service manager has kept. Those that the
// specifications do not ask for are among them: Relinquish gives them up. A socket that is of no
// use any more is closed. kept is what the descriptor store has.
func Restore(specs []Spec, passed []fdenv.Passed) (held []*Held, kept []Kept) {
	type found struct {
		nth, slot, fd int
	}
	places := map[string][]found{}
	for _, p := range passed {
		unix.CloseOnExec(p.FD)
		ino, err := inode(p.FD)
		if err != nil {
			continue
		}
		kept = append(kept, Kept{p.Name, ino})
		if same, nth, slot, ok := parseKept(p.Name); ok {
			places[same] = append(places[same], found{nth, slot, p.FD})
		} else {
			closeShared([]int{p.FD})
		}
	}
	all := make([][]found, 0, len(places))
	for _, place := range places {
		slices.SortStableFunc(place, func(a, b found) int { return cmp.Compare(a.slot, b.slot) })
		all = append(all, place)
	}
	slices.SortFunc(all, func(a, b []found) int { return cmp.Or(cmp.Compare(a[0].nth, b[0].nth), cmp.Compare(a[0].fd, b[0].fd)) })
	for _, place := range all {
		var fds []int
		for _, f := range place {
			fds = append(fds, f.fd)
		}
		name := passed[slices.IndexFunc(passed, func(p fdenv.Passed) bool { return p.FD == fds[0] })].Name
		if h := restored(specs, name, fds); h != nil {
			held = append(held, h)
		}
	}
	return held, kept
}

// restored is the socket of that name in the store; nil: it is of no use, and closed.
func restored(specs []Spec, name string, fds []int) *Held {
	same, nth, slot, _ := parseKept(name)
	h := &Held{Key: same, Slotted: slot != unslotted, FDs: fds}
	uid := -1
	found, err := inspect(fds[0])
	i := slices.IndexFunc(specs, func(s Spec) bool {
		return err == nil && keptName(s.key(), nth, slot) == name && s.isFor(found)
	})
	if i >= 0 {
		h.Key, uid = specs[i].key(), specs[i].uid-1
	}
	if err == nil && found.stream && isDeaf(fds[0]) || !h.describe(found, fds[0], uid) || err != nil {
		closeShared(fds)
		return nil
	}
	return h
}

// describe notes where a socket is bound; false: nobody can reach it there any more. uid owns
// the file of a path.
func (h *Held) describe(found inherited, n, uid int) bool {
	if found.addr == nil {
		return false
	}
	if found.addr.Network() == "unix" {
		var err error
		h.Path = found.name
		h.Dev, h.Ino, err = fd.BoundFile(n, h.Path, uid)
		return err == nil && !fd.Known(h.Path, h.Dev, h.Ino).Lost()
	}
	addr, ok := addrPort(found.addr)
	h.Bound = addr.String()
	return ok
}

// Drop closes sockets that were held and are not used after all.
func Drop(held []*Held) {
	for _, h := range held {
		closeShared(h.FDs)
	}
}

// Resteer spreads connections over the slots that are asked for now, in groups that another
// superdaemon has made. It does not block.
func (s *Set) Resteer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.Sockets {
		if socket := &s.Sockets[i]; socket.Reuseport && len(*socket.others) > 0 {
			_ = socket.steer(s.steeredOf(socket)) // if that fails the other superdaemon's program stays
		}
	}
}

// Inodes are the inode numbers of all sockets that the Set has bound or taken over.
func (s *Set) Inodes() map[uint64]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[uint64]bool{}
	for _, h := range s.all() {
		for _, n := range h.FDs {
			if ino, err := inode(n); err == nil {
				all[ino] = true
			}
		}
	}
	return all
}

// Close closes the descriptor.
func (u Unkept) Close() { unix.Close(u.FD) }
