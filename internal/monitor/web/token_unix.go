//go:build unix

package web

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openToken does not wait for a writer if path is a pipe.
func openToken(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
}

// exposed says why a file is no secret.
func exposed(info fs.FileInfo) string {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Sprintf("it is of user %d, neither of user %d nor root", stat.Uid, os.Geteuid())
	}
	return modeFault(info.Mode())
}

// tooOpen has the bits of a mode with which others could read or change the file. A group may
// read it, such as that of a service.
const tooOpen fs.FileMode = 0o037

// modeFault says what is wrong with a mode.
func modeFault(mode fs.FileMode) string {
	if mode.Perm()&tooOpen == 0 {
		return ""
	}
	return fmt.Sprintf("its mode is %04o, and others could read or change it: chmod 600", mode.Perm())
}
