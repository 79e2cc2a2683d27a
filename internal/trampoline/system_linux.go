package trampoline

import (
	"syscall"
	"unsafe"
)

// The constants of getauxval(3) and prctl(2) that are needed here. The package
// of the extended library that has them has so much to initialise that we would
// be among the last.
const (
	atSecure            = 23
	prSetPdeathsig      = 1
	prCapAmbient        = 47
	prCapAmbientClear   = 4
	longestAuxiliary    = 4096
	auxiliaryVectorFile = "/proc/self/auxv"
)

// Privileged says whether the executable's file has given us more rights than
// who runs it has: a set-user-ID bit, or capabilities. Anybody may give such a
// program instructions, so it takes none. Where the vector cannot be read we may
// well be such a one.
func Privileged() bool {
	fd, err := syscall.Open(auxiliaryVectorFile, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer syscall.Close(fd)
	var vector [longestAuxiliary / unsafe.Sizeof(uintptr(0))]uintptr
	n, err := syscall.Read(fd, unsafe.Slice((*byte)(unsafe.Pointer(&vector)), longestAuxiliary))
	if err != nil {
		return true
	}
	pairs := vector[:n/int(unsafe.Sizeof(vector[0]))]
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == atSecure {
			return pairs[i+1] != 0
		}
	}
	return true
}

// renice adds to the niceness of the calling thread. The kernel cuts it to what there is.
func renice(add int) error {
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0) // 20 - niceness, see getpriority(2)
	if err != nil {
		return err
	}
	return syscall.Setpriority(syscall.PRIO_PROCESS, 0, 20-raw+add)
}

// dieWith has TERM sent to us when the parent's thread that made us is gone.
func dieWith(parent int) error {
	if err := prctl(prSetPdeathsig, uintptr(syscall.SIGTERM)); err != nil {
		return err
	}
	if syscall.Getppid() != parent { // gone before the kernel knew
		return syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
	}
	return nil
}

func setGID(gid int) error { return syscall.Setresgid(gid, gid, gid) }

// setUID also drops ambient capabilities, if the user changes: setresuid does
// so for root only.
func setUID(uid int) error {
	changes := uid != 0 && (uid != syscall.Getuid() || uid != syscall.Geteuid())
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return err
	}
	if changes {
		_ = prctl(prCapAmbient, prCapAmbientClear) // before Linux 4.3 there are none
	}
	return nil
}

// prctl concerns the calling thread, which is the one that calls exec.
func prctl(option, argument uintptr) error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, option, argument, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
