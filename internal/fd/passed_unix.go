//go:build unix

package fd

import "golang.org/x/sys/unix"

// ClosePassed closes descriptors that a stranger has passed. It may block for as long as the
// stranger likes, see Aside. SO_LINGER does not make it block, unless the stranger has a
// duplicate and sets it again at that very moment.
func ClosePassed(fds []int) {
	for _, n := range fds {
		_ = unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
		_ = unix.Close(n)
	}
}
