package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// Hand is all sockets, for the next image. Those that were passed to this program are not
// among them: Sources are, which it finds where this one has.
func (s *Set) Hand() []*Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all()
}

func (s *Set) all() []*Held {
	var all []*Held
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		if socket.Taken || socket.fd < 0 {
			continue
		}
		h := &Held{Key: socket.key(), Slotted: socket.Reuseport, Steered: s.options.steered, FDs: append([]int{socket.fd}, *socket.others...)}
		if socket.Sided {
			h.Order, h.Having = socket.split.order, socket.split.Having
		}
		if socket.file != nil {
			h.Path, h.Dev, h.Ino = socket.file.File()
		} else {
			h.Bound = socket.bound.String()
		}
		all = append(all, h)
	}
	for _, g := range s.gone {
		if g.socket != nil {
			g.Having = g.socket.split.Having
		}
		all = append(all, g.Held)
	}
	return all
}

// Sources are the descriptors that were passed to this program, and are to stay open for
// the next image.
func (s *Set) Sources() ([]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []int
	for i := range s.Sockets {
		if socket := &s.Sockets[i]; socket.Taken {
			if socket.Source <= 2 {
				return nil, fmt.Errorf("socket %q: what was passed as descriptor %d cannot be passed on to another image", socket.Text, socket.Source)
			}
			all = append(all, socket.Source)
		}
	}
	return all, nil
}

// adopt takes a socket over that the last image had bound, with the options that it is to
// have now. done tells that nothing is left to do.
func (s *Socket) adopt(h *Held, o Options) (done bool, err error) {
	s.fd = h.FDs[0]
	if s.Path != "" {
		s.file, err = fd.Rebound(h.Path, h.Dev, h.Ino, s.mode(), s.uid-1, s.gid-1)
		if errors.Is(err, fd.ErrLost) {
			return false, nil // a new one can be reached again
		}
		s.Name, s.Addr = s.Path, &net.UnixAddr{Name: s.Path, Net: "unix"}
	} else {
		var addr netip.AddrPort
		if addr, err = netip.ParseAddrPort(h.Bound); err == nil {
			err = s.setName(addr)
		}
		*s.others = h.FDs[1:]
		if s.Sided {
			s.split.order, s.split.Having = h.Order, h.Having
		}
	}
	if err == nil && s.Reuseport && !h.Slotted {
		err = switchOn(s.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, "SO_REUSEPORT")
	}
	for _, n := range h.FDs {
		if err == nil {
			err = s.applyTuning(n)
		}
		if err == nil && !s.UDP {
			err = s.listen(n, o)
		}
	}
	if err == nil && !s.Reuseport && h.Slotted {
		_ = s.steer(1) // all that comes from now on is for everybody
	}
	return true, err
}

// Relinquish closes the sockets that the last image had, and that were not asked for any
// more. Their queues end with the last worker that has them. Paths are removed.
func (s *Set) Relinquish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.gone {
		if h.Path != "" {
			_ = fd.Known(h.Path, h.Dev, h.Ino).Remove() // it may be lost, which is as well
		}
		for _, n := range h.FDs {
			unix.Close(n)
		}
	}
	s.gone = nil
}
