package socket

import (
	"context"
	"errors"
)

var errWindows = errors.New("sockets cannot be handed to workers on Windows")

// bind always fails, so no other method of a Socket is ever called.
func (s *Socket) bind(context.Context, *Held, Options) error { return errWindows }

func inspect(int) (inherited, error) { return inherited{}, errWindows }

func (s *Socket) fill(int, Options) error { return errWindows }

func (s *Socket) steer(int) error { return errWindows }

func (s *Socket) queued(int) (int, error) { return 0, errWindows }

func (s *Socket) listen(int, Options) error { return errWindows }

func isDeaf(int) bool { return false }

func hangsUp(int) bool { return false }

func waiting(int) (int, error) { return 0, errWindows }

func (s *Socket) close() error { return nil }

func (s *Set) plug() error { return nil }

func maxFiles() uint64 { return 0 }

func umask() int { return 0 }
