package socket

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Held is an open socket as one image of this program hands it over to the next.
type Held struct {
	Key      string // what was asked for
	Slotted  bool   // each slot has a socket of its own
	Bound    string // the address and port; "": it is a path
	Path     string
	Dev, Ino uint64 // of its file
	FDs      []int  // of slot 0, 1 and so on; with sides by the numbers of nth
	Steered  int    // how many slots get connections; 0: it is not known
	Order    []int  // of the group, see split
	Nonblock bool   // the option was given
	Having   Having
}

// key is equal for two specifications that ask for the same address.
func (s *Spec) key() string {
	switch {
	case s.Path != "":
		return "unix " + s.Path
	case s.UDP:
		return fmt.Sprintf("udp %s %d %d %t", s.Host, s.Port, s.Family, s.DualStack)
	}
	key := fmt.Sprintf("tcp %s %d %d %t", s.Host, s.Port, s.Family, s.DualStack)
	if s.Sided {
		key += sidedKey // workers have the socket, so it cannot lose or get sides
	}
	return key
}

// changes returns an error if a held port has no sides and is to get them, or the other way round.
func (o *Options) changes(s *Spec) error {
	if s.Taken || s.UDP || s.Path != "" {
		return nil
	}
	other := *s
	other.Sided = !s.Sided
	if !slices.ContainsFunc(o.Held, func(h *Held) bool { return h != nil && h.Key == other.key() }) {
		return nil
	}
	return fmt.Errorf("port %q: blue/green cannot be switched on or off while workers have the socket: stop, and start again", s.Text)
}

// take takes the socket for a specification out of Held; nil: it is not there.
func (o *Options) take(s *Spec) *Held {
	for i, h := range o.Held {
		if h != nil && h.Key == s.key() {
			o.Held[i] = nil
			return h
		}
	}
	return nil
}

// sort notes which sockets come from the last image, and which are new. A socket whose path was
// lost is given up, see leave: a new one has taken its place.
func (s *Set) sort(held []*Held) {
	for i, h := range held {
		if h != nil && s.Sockets[i].fd != h.FDs[0] {
			s.leave(h)
			held[i] = nil
		}
	}
	s.held = held
}

// Abandon closes the sockets that the last image did not have, and removes their paths. The last
// image goes on.
func (s *Set) Abandon() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var faults []error
	s.unwatch()
	for i, h := range s.held {
		if h == nil {
			faults = append(faults, s.Sockets[i].close())
		}
	}
	return errors.Join(faults...)
}

// Try binds the sockets that are not held, and closes them again. The error says why one could
// not be bound.
func Try(ctx context.Context, specs []Spec, o Options) error {
	o.Held = slices.Clone(o.Held)
	var fresh []Spec
	for i := range specs {
		if specs[i].Taken || o.take(&specs[i]) != nil {
			continue
		}
		if err := o.changes(&specs[i]); err != nil {
			return err
		}
		fresh = append(fresh, specs[i])
	}
	o.Held = nil
	set, err := Bind(ctx, fresh, o)
	if err != nil {
		return err
	}
	return set.Close()
}
