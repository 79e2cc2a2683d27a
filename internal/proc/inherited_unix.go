//go:build unix

package proc

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// SealInherited marks every descriptor from 3 on close-on-exec. Go opens its own that
// way. Others that this process was started with by mistake, a lock or a pipe, would live
// on in every worker.
func SealInherited() error {
	if sealRange() == nil {
		return nil
	}
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
