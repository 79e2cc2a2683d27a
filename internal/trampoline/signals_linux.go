package trampoline

import (
	"runtime"
	"syscall"
	"unsafe"
)

const (
	onMIPS    = runtime.GOARCH == "mips" || runtime.GOARCH == "mipsle" || runtime.GOARCH == "mips64" || runtime.GOARCH == "mips64le"
	lastSig   = 64 // MIPS has 64 more, which are unused
	wordBits  = 8 * unsafe.Sizeof(uintptr(0))
	sigIgnore = 1 // SIG_IGN
)

// sigset is the kernel's sigset_t: 8 bytes, on MIPS 16.
type sigset [16 / unsafe.Sizeof(uintptr(0))]uintptr

func (s *sigset) size() uintptr {
	if onMIPS {
		return 16
	}
	return 8
}

// sigaction is the kernel's struct, with room for that of every architecture.
type sigaction [8]uintptr

// sigSetMask is SIG_SETMASK: 2, on MIPS 3.
func sigSetMask() uintptr {
	if onMIPS {
		return 3
	}
	return 2
}

// handler is the first word. On MIPS the flags are there, and it is the second.
func (a *sigaction) handler() *uintptr {
	if onMIPS {
		return &a[1]
	}
	return &a[0]
}

// Hold blocks signals on the calling thread, to which the goroutine must be locked, until
// release is called. A process that the thread forks meanwhile starts with them blocked:
// they wait until the program runs. Otherwise Go's runtime in the trampoline would take
// USR1, for one, and drop it. The signals that end a Go program by default are unblocked
// by that runtime at once, and they do end the trampoline. had is what a program that is
// started directly would inherit.
func Hold() (had Signals, release func()) {
	for sig := 1; sig <= lastSig; sig++ {
		var a sigaction
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&a)), new(sigset).size(), 0, 0)
		if errno == 0 && *a.handler() == sigIgnore {
			had.Ignored = append(had.Ignored, sig)
		}
	}
	var all, before sigset
	for i := range all {
		all[i] = ^uintptr(0)
	}
	// Go never blocks these: it uses them to find faults and to stop threads.
	for _, sig := range []syscall.Signal{syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV,
		syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF, 32, 33, 34} {
		all[uintptr(sig-1)/wordBits] &^= 1 << (uintptr(sig-1) % wordBits)
	}
	setMask(&all, &before)
	for _, word := range before {
		had.Blocked = append(had.Blocked, uint64(word))
	}
	return had, func() { setMask(&before, nil) }
}

func setMask(set, old *sigset) {
	// With valid arguments it cannot fail.
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetMask(),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), set.size(), 0, 0)
}

// ignore ignores the signals that the program must find ignored. All others get their
// default action.
func (s Signals) ignore() {
	var actions [lastSig + 1]sigaction
	for _, sig := range s.Ignored {
		if sig > 0 && sig <= lastSig {
			*actions[sig].handler() = sigIgnore
		}
	}
	for sig := 1; sig <= lastSig; sig++ {
		if sig >= 32 && sig <= 34 { // Go and the C library reach all threads by these
			continue
		}
		// For KILL and STOP this fails, which is right.
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig),
			uintptr(unsafe.Pointer(&actions[sig])), 0, new(sigset).size(), 0, 0)
	}
	// Another thread may be inside a handler that is about to end us. This call on all
	// threads waits until none is, so that exec does not overtake it. With cgo the call
	// is not possible; then it is unlikely that the handler is slower than exec.
	_, _, _ = syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0)
}

// unblock sets the mask that the program is to have.
func (s Signals) unblock() {
	var mask sigset
	if len(s.Blocked) != len(mask) {
		return
	}
	for i, word := range s.Blocked {
		mask[i] = uintptr(word)
	}
	setMask(&mask, nil)
}
