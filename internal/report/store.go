package report

import (
	"slices"
	"sync"

	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Store keeps the service manager's descriptor store in step with the sockets (FDSTORE=1,
// FDSTOREREMOVE=1, sd_notify(3)). If the superdaemon is killed, the next one gets them, with all
// connections that wait.
//
// Messages go through the manager's queue: nothing here waits for them. One that could not be
// sent is sent again with the next change.
type Store struct {
	Manager *Manager
	// Set has the sockets. It is asked from another goroutine.
	Set func() *socket.Set
	// Off has everything removed from the store.
	Off bool

	send func(text string, n int) error // n is a descriptor

	mu   sync.Mutex
	kept []socket.Kept
}

// NewStore returns the store of the manager m.
func NewStore(m *Manager, set func() *socket.Set, off bool) *Store {
	return &Store{Manager: m, Set: set, Off: off, send: sendDescriptor}
}

// Begin notes what is in the store already.
func (s *Store) Begin(kept []socket.Kept) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = slices.Clone(kept)
}

// State is what is in the store, as far as is known.
func (s *Store) State() []socket.Kept {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept)
}

// Hear calls Sync when a worker was started: its slot may have a new socket.
func (s *Store) Hear(e supervise.Event) {
	if _, is := e.(supervise.Started); is {
		s.Sync()
	}
}

// Sync has the store brought up to date, and does not wait for that.
func (s *Store) Sync() {
	if s != nil {
		s.Manager.queue.Add(s.sync)
	}
}

func (s *Store) sync() {
	kept := s.State()
	var unkept []socket.Unkept
	var gone []string
	var err error
	if s.Off {
		for _, k := range kept {
			gone = append(gone, k.Name)
		}
	} else if unkept, gone, err = s.Set().Unkept(kept); err != nil {
		s.failed(err)
	}
	for _, name := range gone {
		if err := s.Manager.send("FDSTOREREMOVE=1\nFDNAME=" + name); err != nil {
			s.failed(err)
			continue
		}
		kept = slices.DeleteFunc(kept, func(k socket.Kept) bool { return k.Name == name })
	}
	for _, u := range unkept {
		// Without FDPOLL=0 the manager would drop a socket that a worker has shut down.
		err := s.send("FDSTORE=1\nFDNAME="+u.Name+"\nFDPOLL=0", u.FD)
		u.Close()
		if err != nil {
			s.failed(err)
			continue
		}
		kept = append(kept, u.Kept)
	}
	s.Begin(kept)
}

func (s *Store) failed(err error) {
	if !s.Manager.failed {
		s.Manager.failed = true
		s.Manager.log("sockets cannot be given to the service manager to keep: %v", err)
	}
}
