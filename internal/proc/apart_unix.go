//go:build unix

package proc

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// apart tells whether the program runs as another user. It must then get nothing through which
// it could use our rights: not our session, and not our terminal, into which it could type.
func (c *Command) apart() bool {
	if c.Credential == nil {
		return false
	}
	user, _ := c.Credential.differs()
	return user
}

// withoutTerminal are the program's descriptors. If it is apart, /dev/null replaces a terminal as
// stdin, and a terminal as stdout or stderr can only be written to: otherwise the program could
// read from it all that is typed there. Call close when the descriptors were handed over.
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
			continue // a terminal of a container's host, say: there is nothing else to write to
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
