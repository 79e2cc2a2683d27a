package fd

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// File is what Bound knows of a socket's file, for another image of this program.
func (b *Bound) File() (path string, dev, ino uint64) { return b.path, b.dev, b.ino }

// Known makes a Bound from what File has returned.
func Known(path string, dev, ino uint64) *Bound { return &Bound{path, dev, ino} }

// Is tells whether File returns the same.
func (b *Bound) Is(path string, dev, ino uint64) bool { return *b == Bound{path, dev, ino} }

// ErrLost says that a socket's file is not at its path any more.
var ErrLost = errors.New("the socket's file is not there any more")

// Rebound is a Bound of a file that another image of this program has bound. The file gets the
// mode and, if they are not -1, the owner and the group. If another file is there, or none, the
// error is ErrLost.
func Rebound(path string, dev, ino uint64, mode fs.FileMode, uid, gid int) (*Bound, error) {
	b := &Bound{path: path, dev: dev, ino: ino}
	w, err := find(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrLost
	}
	if err != nil {
		return nil, err
	}
	defer w.close()
	if !w.found || uint64(w.stat.Dev) != dev || w.stat.Ino != ino {
		return nil, ErrLost
	}
	if uint32(w.stat.Mode)&0o777 == uint32(mode.Perm()) && (uid < 0 || int(w.stat.Uid) == uid) && (gid < 0 || int(w.stat.Gid) == gid) {
		return b, nil
	}
	return b, b.set(w, mode, uid, gid, func(st *unix.Stat_t) error {
		if uint64(st.Dev) != dev || st.Ino != ino {
			return ErrLost
		}
		return nil
	})
}

// siocUnixFile is SIOCUNIXFILE (linux/un.h): a descriptor of the file that a unix socket was
// bound to. It takes CAP_NET_ADMIN.
const siocUnixFile = 0x89e0

// BoundFile is the device and the inode number of the file that a unix socket was bound to. If
// the kernel does not tell us, it is the file at path. Then path must be the socket's name, and
// the file must be a socket of ours, or of the user uid, that has no other name. Otherwise the
// error is ErrLost.
func BoundFile(n int, path string, uid int) (dev, ino uint64, err error) {
	var st unix.Stat_t
	if file, err := unix.IoctlRetInt(n, siocUnixFile); err == nil {
		defer unix.Close(file)
		if err := unix.Fstat(file, &st); err != nil {
			return 0, 0, os.NewSyscallError("fstat", err)
		}
		return uint64(st.Dev), st.Ino, nil
	}
	sa, err := unix.Getsockname(n)
	if err != nil {
		return 0, 0, os.NewSyscallError("getsockname", err)
	}
	if name, is := sa.(*unix.SockaddrUnix); !is || name.Name != path || unix.Lstat(path, &st) != nil {
		return 0, 0, ErrLost
	}
	ours := int(st.Uid) == os.Geteuid() || int(st.Uid) == uid
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || st.Nlink != 1 || !ours {
		return 0, 0, ErrLost
	}
	return uint64(st.Dev), st.Ino, nil
}
