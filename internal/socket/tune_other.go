//go:build !linux

package socket

const isLinux = false

// tuneLinux has nothing to do: the options were refused.
func (*Socket) tuneLinux(int) error { return nil }
