package fd

import (
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openPath opens a file, even a socket's, only to look at it.
const openPath = unix.O_PATH

// own sets the mode and the owner of the file that the socket was bound to.
func (b *Bound) own(w *way, mode fs.FileMode, uid, gid int) error {
	return b.set(w, mode, uid, gid, b.isOurs)
}

// set does what own does, to a file that right accepts.
func (b *Bound) set(w *way, mode fs.FileMode, uid, gid int, right func(*unix.Stat_t) error) error {
	n, err := unix.Openat(w.dir, w.name, openPath|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(n)
	var st unix.Stat_t
	if err := unix.Fstat(n, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if err := right(&st); err != nil {
		return err
	}
	if uint32(st.Mode)&0o777 != uint32(mode.Perm()) {
		if err := chmodPath(n, uint32(mode.Perm())); err != nil {
			return os.NewSyscallError("chmod", err)
		}
	}
	if uid < 0 && gid < 0 {
		return nil
	}
	return os.NewSyscallError("chown", chownPath(n, uid, gid))
}

// chmodPath and chownPath are for a descriptor of openPath. Before Linux 6.6 a mode can be
// set only by the descriptor's name in /proc.
func chmodPath(n int, mode uint32) error {
	if err := unix.Fchmodat(n, "", mode, unix.AT_EMPTY_PATH); err == nil {
		return nil
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(n), mode)
}

func chownPath(n, uid, gid int) error { return unix.Fchownat(n, "", uid, gid, unix.AT_EMPTY_PATH) }
