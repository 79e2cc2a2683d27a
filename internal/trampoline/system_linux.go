package trampoline

import (
	"syscall"
	"unsafe"
)

// Constants of getauxval(3) and prctl(2). golang.org/x/sys/unix has them too, but with that
// import our init function would run after many others.
const (
	atSecure            = 23
	prSetPdeathsig      = 1
	prCapAmbient        = 47
	prCapAmbientClear   = 4
	longestAuxiliary    = 4096
	auxiliaryVectorFile = "/proc/self/auxv"
)

// Privileged tells whether our executable's file gives us more rights than the user that runs
// it has, by a set-user-ID bit or capabilities. Any user may give such a program instructions,
// so it takes none. The error says that the auxiliary vector cannot be read, for example
// because no descriptor is left.
func Privileged() (bool, error) {
	fd, err := syscall.Open(auxiliaryVectorFile, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer syscall.Close(fd)
	var vector [longestAuxiliary / unsafe.Sizeof(uintptr(0))]uintptr
	n, err := syscall.Read(fd, unsafe.Slice((*byte)(unsafe.Pointer(&vector)), longestAuxiliary))
	if err != nil {
		return false, err
	}
	pairs := vector[:n/int(unsafe.Sizeof(vector[0]))]
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == atSecure {
			return pairs[i+1] != 0, nil
		}
	}
	return true, nil
}

// renice adds to the niceness of the calling thread. The kernel limits it to -20 to 19.
func renice(add int) error {
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0) // 20 - niceness, see getpriority(2)
	if err != nil {
		return err
	}
	return syscall.Setpriority(syscall.PRIO_PROCESS, 0, 20-raw+add)
}

// dieWith has the kernel send us TERM when the thread of the parent that forked us is
// gone.
func dieWith(parent int) error {
	if err := prctl(prSetPdeathsig, uintptr(syscall.SIGTERM)); err != nil {
		return err
	}
	if syscall.Getppid() != parent { // it was gone before that call
		return syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
	}
	return nil
}

func setGID(gid int) error { return syscall.Setresgid(gid, gid, gid) }

// setUID also drops ambient capabilities if the user changes: setresuid(2) does so for
// root only.
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

// prctl acts on the calling thread, which is the one that calls exec.
func prctl(option, argument uintptr) error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, option, argument, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
