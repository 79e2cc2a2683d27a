//go:build !linux

package notify

import "errors"

// Listener is never there: only Linux tells who sends a datagram.
type Listener struct{}

// Listen says that readiness notices are not to be had.
func Listen(bool, func(Message)) (*Listener, error) {
	return nil, errors.New("readiness notices need Linux, which tells who sends them")
}

// Addr is empty.
func (*Listener) Addr() string { return "" }

// CatchUp returns at once.
func (*Listener) CatchUp() {}

// Close does nothing.
func (*Listener) Close() error { return nil }

// Ancestors are not looked for.
func Ancestors(pid int) []int { return []int{pid} }
