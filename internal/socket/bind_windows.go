package socket

import (
	"context"
	"errors"
)

var errWindows = errors.New("sockets cannot be handed to workers on Windows")

func (s *Socket) bind(context.Context, Options) error { return errWindows }

func inspect(int) (inherited, error) { return inherited{}, errWindows }

func (s *Set) plug() error { return nil }

// Grow does nothing: there are no sockets.
func (s *Set) Grow(int) error { return nil }

// Steer does nothing: there are no connections.
func (s *Set) Steer(int) error { return nil }

// Queued is 0: there are no connections.
func (s *Set) Queued(int) (int, error) { return 0, nil }

// Lost are none: there are no paths.
func (s *Set) Lost() []string { return nil }

// Close does nothing: there are no sockets.
func (s *Set) Close() error { return nil }

func maxFiles() uint64 { return 0 }

func umask() int { return 0 }
