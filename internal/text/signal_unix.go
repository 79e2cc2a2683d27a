//go:build unix

package text

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalNumber returns 0 if no signal has the name.
func signalNumber(name string) syscall.Signal {
	if name == "ABRT" {
		return syscall.SIGABRT // x/sys knows it as IOT on some systems
	}
	return unix.SignalNum("SIG" + name)
}

// signalName returns "" for a signal without a name.
func signalName(sig syscall.Signal) string {
	return strings.TrimPrefix(unix.SignalName(sig), "SIG")
}
