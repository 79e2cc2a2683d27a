package runfile

import (
	"errors"
	"os"
)

func lock(*os.File) (bool, error) {
	return false, errors.New("pid files are not supported on Windows")
}

func locked(f *os.File) (bool, error) { return lock(f) }

func alive(int) bool { return false }
