//go:build unix && !linux

package fd

import "golang.org/x/sys/unix"

const openDir = unix.O_RDONLY

func isProc(int) bool { return false }
