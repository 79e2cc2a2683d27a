package fd

import "golang.org/x/sys/unix"

// openDir opens a directory that we may enter, even if we may not list it.
const openDir = unix.O_PATH

// isProc tells whether a directory is one of /proc.
func isProc(dir int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(dir, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
}
