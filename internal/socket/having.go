package socket

import (
	"errors"
	"iter"
	"slices"
	"strings"
)

// This file knows which generations have a port that an upgrade has added or taken away. The
// clients of an added port wait in one of its two sets of sockets, until a generation that has
// the port begins and gets that set. The clients of a port that was taken away go to the
// generation that still has it, as long as there is one.

// ErrLacks says that a port reaches no worker of a generation, which has begun without it.
var ErrLacks = errors.New("the generation has begun without this port")

// Having tells which generations have a port with sides.
type Having struct {
	Lacks   []int // the sides whose generation has begun without the port
	Flipped bool  // side 0 has the second set of sockets, and side 1 the first one
	Early   bool  // the live generation lacks the port: all clients wait in one set
	EarlyIn int   // the set in which they wait
}

func (h *Having) lacks(side int) bool { return slices.Contains(h.Lacks, side) }

// begins notes that a generation begins on a side, and whether it lacks the port.
func (h *Having) begins(side int, lacks bool) {
	h.Lacks = slices.DeleteFunc(slices.Clone(h.Lacks), func(other int) bool { return other == side })
	if lacks {
		h.Lacks = append(h.Lacks, side)
	}
}

// set is the set of sockets that a side has.
func (h *Having) set(side int) int {
	if h.Flipped {
		return 1 - side
	}
	return side
}

// Take notes that a generation begins on a side that no other generation has. It gets all ports
// that are asked for. Take does not block.
func (s *Set) Take(side int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.sided() {
		h := &socket.split.Having
		h.begins(side, socket.split.gone)
		if h.Early && h.set(side) != h.EarlyIn {
			h.Flipped = !h.Flipped // no generation has either set
		}
	}
}

// aim sends share of All to a side, unless a generation lacks the port: then see the top of
// this file.
func (p *split) aim(side, share int) {
	live := side
	if share < All {
		live = 1 - side
	}
	failed := p.share < All && share == All // a canary has ended: it has failed, or it is live now
	p.side, p.share = side, share
	switch {
	case !p.lacks(live):
		p.Early = false
		if p.lacks(1 - live) {
			p.side, p.share = live, All
		}
	case p.gone && !p.lacks(1-live):
		p.side, p.share = 1-live, All
	case !p.Early || failed:
		p.Early, p.EarlyIn = true, p.set(live)
	}
}

// feeds tells whether a side gets connections.
func (p *split) feeds(side int) bool {
	switch {
	case p.Early:
		return p.set(side) == p.EarlyIn
	case side == p.side:
		return p.share > 0
	}
	return p.share < All
}

// steerable are the sockets, and those with sides that are not asked for any more but that
// workers still have.
func (s *Set) steerable() iter.Seq[*Socket] {
	return func(yield func(*Socket) bool) {
		for i := range s.Sockets {
			if !yield(&s.Sockets[i]) {
				return
			}
		}
		for _, g := range s.gone {
			if g.socket != nil && !yield(g.socket) {
				return
			}
		}
	}
}

// sided are those that have sides.
func (s *Set) sided() iter.Seq[*Socket] {
	return func(yield func(*Socket) bool) {
		for socket := range s.steerable() {
			if socket.Sided && socket.fd >= 0 && !yield(socket) {
				return
			}
		}
	}
}

// sidedKey ends the key of a socket with sides.
const sidedKey = " sided"

// gone is a socket of the last image that is not asked for any more.
type gone struct {
	*Held
	socket *Socket // with sides; nil: it has none
}

// leave notes that a socket of the last image is not asked for any more.
func (s *Set) leave(h *Held) {
	g := gone{Held: h}
	if h.Path == "" && strings.HasSuffix(h.Key, sidedKey) { // a path may end in sidedKey, too
		others := h.FDs[1:]
		g.socket = &Socket{
			Spec: Spec{Text: h.Bound, Tuning: Tuning{Reuseport: true, Sided: true}}, fd: h.FDs[0], others: &others,
			split: &split{share: All, order: h.Order, Having: h.Having, gone: true},
		}
	}
	s.gone = append(s.gone, g)
}
