package fd

import "golang.org/x/sys/unix"

// openDir opens a directory that may be entered, though not be listed.
const openDir = unix.O_PATH

// isProc tells that a directory is one of /proc.
func isProc(dir int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(dir, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
}
