package trampoline

import (
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"unsafe"
)

const (
	prSetNoNewPrivs          = 38
	keyctlJoinSessionKeyring = 1
	capabilityVersion3       = 0x20080522
)

func noNewPrivs() error { return prctl(prSetNoNewPrivs, 1) }

// newKeyring gives the calling thread a session keyring of its own, and so the program: by
// ours it could read what root keeps there. It is made before the user changes, whose
// quota may be used up. Where there are no keys, or a filter keeps them from us, the program
// cannot use them either.
func newKeyring() error {
	_, _, errno := syscall.RawSyscall(syscall.SYS_KEYCTL, keyctlJoinSessionKeyring, 0, 0)
	if errno != 0 && errno != syscall.ENOSYS && errno != syscall.EPERM {
		return errno
	}
	return nil
}

// dropCapabilities drops all of the calling thread, the inheritable ones too: by those a program
// whose file has them as inheritable would get them again.
func dropCapabilities() error {
	header := struct {
		version uint32
		pid     int32
	}{version: capabilityVersion3}
	var none [6]uint32 // effective, permitted, inheritable; twice
	_, _, errno := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// raise raises the hard limits, which takes the privileges that are dropped next.
func raise(limits []Limit) error {
	for _, l := range limits {
		var is syscall.Rlimit
		if err := syscall.Getrlimit(l.Resource, &is); err != nil {
			return err
		}
		if l.Hard <= is.Max {
			continue
		}
		is.Max = l.Hard
		if err := syscall.Setrlimit(l.Resource, &is); err != nil {
			return err
		}
	}
	return nil
}

// limit sets all limits. By syscall.Setrlimit, as syscall.Exec restores RLIMIT_NOFILE
// otherwise, which Go has raised.
func limit(limits []Limit) error {
	if slices.ContainsFunc(limits, func(l Limit) bool { return l.Resource == syscall.RLIMIT_AS || l.Resource == syscall.RLIMIT_DATA }) {
		spareMemory()
	}
	for _, l := range limits {
		if err := syscall.Setrlimit(l.Resource, &syscall.Rlimit{Cur: l.Soft, Max: l.Hard}); err != nil {
			return err
		}
	}
	return nil
}

// spare is more memory than there is to allocate from the limits to the exec.
const spare = 8 << 20

// spareMemory has the runtime keep some memory that it has mapped. Go reserves more address
// space than a program may be meant to have: when that is limited nothing more can be mapped,
// and the runtime would end this process when any of its threads needs some.
func spareMemory() {
	debug.SetGCPercent(-1)
	room := make([]byte, spare)
	runtime.KeepAlive(room)
	runtime.GC() // frees it, and leaves it mapped
}
