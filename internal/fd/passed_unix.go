//go:build unix

package fd

import "golang.org/x/sys/unix"

// ClosePassed closes descriptors that were passed by a stranger. It may block for as long
// as that likes, see Aside, but not by SO_LINGER unless the stranger, with a duplicate,
// sets that anew in the very moment.
func ClosePassed(fds []int) {
	for _, n := range fds {
		_ = unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
		_ = unix.Close(n)
	}
}
