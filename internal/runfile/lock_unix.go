//go:build unix

package runfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lock tries flock(2), and tells whether another process holds it. Closing f
// unlocks.
func lock(f *os.File) (held bool, err error) {
	return try(f, unix.LOCK_EX)
}

// locked tells whether a process holds f by lock. Several may ask at once.
func locked(f *os.File) (held bool, err error) {
	return try(f, unix.LOCK_SH)
}

func try(f *os.File, how int) (held bool, err error) {
	err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// alive tells whether a process of that number exists.
func alive(pid int) bool {
	return !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
