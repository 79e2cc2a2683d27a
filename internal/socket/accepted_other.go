//go:build !linux

package socket

import (
	"errors"
	"fmt"
)

// Accepted is for Linux.
func Accepted(int) (bool, error) {
	return false, fmt.Errorf("whether a connection was accepted: %w but on Linux", errors.ErrUnsupported)
}
