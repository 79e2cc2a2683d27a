//go:build !linux

package socket

import (
	"errors"
	"fmt"
	"iter"
)

// AcceptedBy works on Linux only.
func AcceptedBy(int, iter.Seq[int]) bool { return false }

// Accepted works on Linux only.
func Accepted(int) (bool, error) {
	return false, fmt.Errorf("whether a connection was accepted: %w but on Linux", errors.ErrUnsupported)
}
