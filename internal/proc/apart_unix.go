//go:build unix

package proc

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// apart tells that the program runs as another user, which is to get nothing by which it
// could do what we may: not our session, nor our terminal, into which it could type.
func (c *Command) apart() bool {
	if c.Credential == nil {
		return false
	}
	user, _ := c.Credential.differs()
	return user
}

// withoutTerminal are the program's descriptors. Where it is apart /dev/null is in the place of
// a terminal as stdin, and the others can be written to only: from each of them all could be read that
// is typed there. close is for when they were handed over.
func (c *Command) withoutTerminal() (table []int, close func(), err error) {
	table = slices.Clone(c.Files)
	var own []int
	close = func() {
		for _, fd := range own {
			unix.Close(fd)
		}
	}
	if !c.apart() {
		return table, close, nil
	}
	for i, fd := range table[:min(3, len(table))] {
		if fd < 0 || !isTerminal(fd) {
			continue
		}
		path, how := fmt.Sprintf("/dev/fd/%d", fd), unix.O_WRONLY
		if i == 0 {
			path, how = os.DevNull, unix.O_RDONLY
		}
		n, err := unix.Open(path, how|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil && i > 0 {
			continue // it is of a container's host, say: all that there is to write to
		}
		if err != nil {
			close()
			return nil, nil, fmt.Errorf("cannot keep the terminal at %d from it: %w", i, &os.PathError{Op: "open", Path: path, Err: err})
		}
		own = append(own, n)
		table[i] = n
	}
	return table, close, nil
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, getTermios)
	return err == nil
}
