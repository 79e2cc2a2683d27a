package proc

import "golang.org/x/sys/unix"

const getTermios = unix.TCGETS

// itself is the path by which we can start our own executable again, even if its file
// has been replaced since.
func itself() (path string, err error) { return "/proc/self/exe", nil }
