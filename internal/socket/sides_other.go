//go:build !linux

package socket

import (
	"context"
	"errors"
)

func lock(int) error { return errors.ErrUnsupported }

// Connect is for Linux only, as is all that has to do with sides.
func (s *Set) Connect(context.Context, int, int, int) (int, error) { return -1, errors.ErrUnsupported }

func (s *Set) Clear(int) (int, error) { return 0, errors.ErrUnsupported }

func (*Set) Count(int) (func() int, func()) { return func() int { return 0 }, func() {} }

func (*Set) watch() error { return nil }

// Deaf is for sides only.
func (*Set) Deaf() bool { return false }
