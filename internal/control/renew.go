package control

import "fmt"

// Renew makes the socket anew if it has gone from its path, and reports whether it had gone.
// Open connections stay. The error says why it could not be made anew, for example because
// another process listens there by now. A nil Server has lost nothing.
func (s *Server) Renew() (lost bool, err error) {
	if s == nil {
		return false, nil
	}
	s.socket.Lock()
	defer s.socket.Unlock()
	if s.retired || !s.listener.made.Lost() {
		return false, nil
	}
	l, err := listen(s.path, s.Worker)
	if err != nil {
		return true, fmt.Errorf("control socket %q: %w", s.path, err)
	}
	old := s.listener
	s.listener = l
	go s.accept(l)
	return true, old.close()
}
