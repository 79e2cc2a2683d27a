//go:build !linux

package socket

// revive has sockets that were shut down listen again.
func (s *Socket) revive(deaf []int, _ int, o Options) error {
	for _, n := range deaf {
		if err := s.listen(n, o); err != nil {
			return err
		}
	}
	return nil
}
