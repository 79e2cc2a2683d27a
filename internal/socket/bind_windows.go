package socket

import (
	"context"
	"errors"
)

func (s *Socket) bind(context.Context, Options) error {
	return errors.New("sockets cannot be handed to workers on Windows")
}

// Close does nothing: there are no sockets.
func (s *Set) Close() error { return nil }

func maxFiles() uint64 { return 0 }
