package proc

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// becomeSubreaper makes this process adopt every descendant whose parent ends, in place
// of PID 1 (PR_SET_CHILD_SUBREAPER, prctl(2)). reapOrphans has to wait for them. undo
// restores what was set before.
func becomeSubreaper() (undo func(), err error) {
	var was int32
	if err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&was)), 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl: are we a subreaper", err)
	}
	set := func(on int32) error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, uintptr(on), 0, 0, 0) }
	if err := set(1); err != nil {
		return nil, os.NewSyscallError("prctl: become subreaper", err)
	}
	return func() { _ = set(was) }, nil
}
