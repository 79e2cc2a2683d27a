//go:build unix

package runfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lock tries to lock f (flock(2)), and tells whether another process holds the lock.
// Closing f unlocks it.
func lock(f *os.File) (held bool, err error) {
	return try(f, unix.LOCK_EX)
}

// locked tells whether a process holds the lock of f. Several processes may ask at once.
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

// alive tells whether a process with that pid exists.
func alive(pid int) bool {
	return !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
