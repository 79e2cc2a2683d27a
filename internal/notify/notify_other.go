//go:build !linux

package notify

import "errors"

// Listener is never made: only Linux tells which process sends a datagram.
type Listener struct{}

// Listen says that readiness notices need Linux.
func Listen(bool, Handler) (*Listener, error) {
	return nil, errors.New("readiness notices need Linux, which tells who sends them")
}

// Addr is empty.
func (*Listener) Addr() string { return "" }

// CatchUp returns at once.
func (*Listener) CatchUp() {}

// Close does nothing.
func (*Listener) Close() error { return nil }

// Ancestors is only pid itself.
func Ancestors(pid int) []int { return []int{pid} }
