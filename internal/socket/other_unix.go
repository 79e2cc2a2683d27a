//go:build unix && !linux

package socket

import (
	"errors"
	"fmt"
)

func (*Socket) steer(int) error {
	return fmt.Errorf("this system spreads connections over all sockets of a port: %w", errors.ErrUnsupported)
}

func isDeaf(int) bool { return false }

func hangsUp(int) bool { return false }

func (*Socket) queued(fd int) (int, error) { return waiting(fd) }

// tuneLinux has nothing to do: Parse has refused the options.
func (*Socket) tuneLinux(int) error { return nil }
