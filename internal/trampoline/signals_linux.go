package trampoline

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	onMIPS    = runtime.GOARCH == "mips" || runtime.GOARCH == "mipsle" || runtime.GOARCH == "mips64" || runtime.GOARCH == "mips64le"
	lastSig   = 64 // MIPS has as many again, which nobody uses
	wordBits  = 8 * unsafe.Sizeof(uintptr(0))
	sigIgnore = 1 // SIG_IGN
)

// sigset is the kernel's sigset_t, 8 bytes long, on MIPS 16.
type sigset [16 / unsafe.Sizeof(uintptr(0))]uintptr

func (s *sigset) size() uintptr {
	if onMIPS {
		return 16
	}
	return 8
}

// sigaction is the kernel's, with room for every architecture's.
type sigaction [8]uintptr

// handler is the first word, but on MIPS, where the flags are.
func (a *sigaction) handler() *uintptr {
	if onMIPS {
		return &a[1]
	}
	return &a[0]
}

// Hold keeps signals from the calling thread, to which the goroutine must be
// locked, until release is called, and so from a process that it forks. There
// they wait until Go's runtime, whose handlers could swallow one, is out of the
// way. It returns what a program that is started directly would inherit.
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
	// Those that Go never blocks, with which it finds faults and halts threads.
	for _, sig := range []unix.Signal{unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV,
		unix.SIGCHLD, unix.SIGURG, unix.SIGPROF, 32, 33, 34} {
		all[uintptr(sig-1)/wordBits] &^= 1 << (uintptr(sig-1) % wordBits)
	}
	setMask(&all, &before)
	for _, word := range before {
		had.Blocked = append(had.Blocked, uint64(word))
	}
	return had, func() { setMask(&before, nil) }
}

func setMask(set, old *sigset) {
	// It cannot fail with arguments that are right.
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), set.size(), 0, 0)
}

// restore makes ignored and blocked what a program is to inherit. Everything
// else is left to its default from now on, as exec would do.
func (s Signals) restore() {
	var actions [lastSig + 1]sigaction
	for _, sig := range s.Ignored {
		if sig > 0 && sig <= lastSig {
			*actions[sig].handler() = sigIgnore
		}
	}
	for sig := 1; sig <= lastSig; sig++ { // KILL and STOP cannot be set, and need not
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig),
			uintptr(unsafe.Pointer(&actions[sig])), 0, new(sigset).size(), 0, 0)
	}
	var mask sigset
	if len(s.Blocked) != len(mask) {
		return
	}
	for i, word := range s.Blocked {
		mask[i] = uintptr(word)
	}
	setMask(&mask, nil)
}
