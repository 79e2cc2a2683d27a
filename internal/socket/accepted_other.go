//go:build !linux

package socket

import (
	"errors"
	"fmt"
)

// AcceptedBy is for Linux, too.
func AcceptedBy(int, int) bool { return false }

// Accepted is for Linux.
func Accepted(int) (bool, error) {
	return false, fmt.Errorf("whether a connection was accepted: %w but on Linux", errors.ErrUnsupported)
}
