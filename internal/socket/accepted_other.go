//go:build !linux

package socket

import (
	"errors"
	"fmt"
	"iter"
)

// AcceptedBy is for Linux, too.
func AcceptedBy(int, iter.Seq[int]) bool { return false }

// Accepted is for Linux.
func Accepted(int) (bool, error) {
	return false, fmt.Errorf("whether a connection was accepted: %w but on Linux", errors.ErrUnsupported)
}
