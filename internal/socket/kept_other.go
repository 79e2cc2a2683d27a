//go:build !linux

package socket

import (
	"context"
	"errors"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
)

// Process is a process that may have sockets that are asked for.
type Process struct{ Pid, Handle, Parent int }

// TakeFrom is for Linux only, as is all that follows.
func TakeFrom(context.Context, []Spec, []*Held, []Process) ([]*Held, error) {
	return nil, errors.ErrUnsupported
}

func Restore([]Spec, []fdenv.Passed) ([]*Held, []Kept) { return nil, nil }

func Has(int, map[uint64]bool) bool { return false }

func Drop([]*Held) {}

func (s *Set) Unkept([]Kept) ([]Unkept, []string, error) { return nil, nil, errors.ErrUnsupported }

func (s *Set) Relinquish() {}

func (s *Set) Resteer() {}

func (Unkept) Close() {}

func (s *Set) Inodes() map[uint64]bool { return nil }
