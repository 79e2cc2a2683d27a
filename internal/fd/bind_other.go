//go:build unix && !linux

package fd

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// own sets the mode and the owner of the file that the socket was bound to. A socket's file
// cannot be opened here, so own uses its name. It does not follow a symlink.
func (b *Bound) own(w *way, mode fs.FileMode, uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(w.dir, w.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return os.NewSyscallError("stat", err)
	}
	if err := b.isOurs(&st); err != nil {
		return err
	}
	if err := unix.Fchmodat(w.dir, w.name, uint32(mode.Perm()), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return os.NewSyscallError("chmod", err)
	}
	if uid < 0 && gid < 0 {
		return nil
	}
	return os.NewSyscallError("chown", unix.Fchownat(w.dir, w.name, uid, gid, unix.AT_SYMLINK_NOFOLLOW))
}
