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

// newKeyring gives the calling thread, and so the program, a session keyring of its own:
// through ours it could read what root keeps there. It is made before the user changes, because
// that user's quota may be used up. If the kernel has no keys, or a filter denies them to us,
// the program cannot use them either.
func newKeyring() error {
	_, _, errno := syscall.RawSyscall(syscall.SYS_KEYCTL, keyctlJoinSessionKeyring, 0, 0)
	if errno != 0 && errno != syscall.ENOSYS && errno != syscall.EPERM {
		return errno
	}
	return nil
}

// dropCapabilities drops all capabilities of the calling thread. The inheritable ones are among
// them: a program whose file has these as inheritable, too, would get them again.
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

// limit sets all limits. It uses syscall.Setrlimit: otherwise syscall.Exec restores
// RLIMIT_NOFILE, which Go has raised.
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

// spare is more memory than is allocated after the limits are set and before the exec.
const spare = 8 << 20

// spareMemory has the runtime map some memory and keep it. Go reserves more address space than
// the program's limit may allow. Once the limit is set nothing more can be mapped, and the
// runtime would end this process as soon as a thread needs memory.
func spareMemory() {
	debug.SetGCPercent(-1)
	room := make([]byte, spare)
	runtime.KeepAlive(room)
	runtime.GC() // frees it, and leaves it mapped
}
