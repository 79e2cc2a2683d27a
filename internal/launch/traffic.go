package launch

import "errors"

// This file says where connections go. A Spawner is the supervise.Traffic of its sockets.

// Steer sends new connections to the first slots only, and returns when the workers of the
// others have accepted what waits for them. It tells if that has failed.
func (s *Spawner) Steer(slots int) { s.steered(s.Sockets.Drain(slots)) }

// steered tells why connections do not go where they should.
func (s *Spawner) steered(err error) {
	if errors.Is(err, errors.ErrUnsupported) {
		s.unsteered.Do(func() {
			s.Out.Warnf("%v: connections that wait for a worker in excess wait until there are more workers again", err)
		})
	} else if err != nil {
		s.Out.Warnf("%v", err)
	}
}

// Split sends share of All new connections to the workers on a side, and the rest to
// those on the other side.
func (s *Spawner) Split(side, share int) error { return s.Sockets.Split(side, share) }

// Take says that a generation begins on a side, with all sockets that there are.
func (s *Spawner) Take(side int) { s.Sockets.Take(side) }

// Drain returns when the workers on a side have accepted what waits for them. It tells if
// that has failed.
func (s *Spawner) Drain(side int) { s.steered(s.Sockets.DrainSide(side)) }

// Clear closes what waits on a side that has no worker, and returns how many connections that
// were. It tells what has failed.
func (s *Spawner) Clear(side int) int {
	closed, err := s.Sockets.Clear(side)
	s.steered(err)
	return closed
}

// Count counts the connections to a side, see socket.Set.Count.
func (s *Spawner) Count(side int) (counted func() int, stop func()) { return s.Sockets.Count(side) }
