package trampoline

import (
	"syscall"
	"unsafe"
)

// Ignored tells whether a signal is ignored, whatever os/signal says.
func Ignored(sig syscall.Signal) bool {
	var now sigaction
	return action(sig, nil, &now) && *now.handler() == sigIgnore
}

// Ignore has signals ignored, whatever os/signal has been asked for, until restore is
// called. An exec keeps that.
func Ignore(signals ...syscall.Signal) (restore func()) {
	before := map[syscall.Signal]sigaction{}
	for _, sig := range signals {
		var ignore, old sigaction
		*ignore.handler() = sigIgnore
		if action(sig, &ignore, &old) && *old.handler() != sigIgnore {
			before[sig] = old
		}
	}
	return func() {
		for sig, old := range before {
			action(sig, &old, nil)
		}
	}
}

// Heed gives those of the signals that are ignored their default action.
func Heed(signals []syscall.Signal) {
	for _, sig := range signals {
		var standard sigaction
		if Ignored(sig) {
			action(sig, &standard, nil)
		}
	}
}

// action is rt_sigaction(2).
func action(sig syscall.Signal, set, old *sigaction) bool {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), new(sigset).size(), 0, 0)
	return errno == 0
}
