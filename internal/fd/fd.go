// Package fd is what the standard library leaves to be done with descriptors: sockets,
// pipes and duplicates that no child inherits by mistake, and what /proc knows of a
// process that one end of them has.
package fd

import (
	"errors"
	"fmt"
)

// ErrNotRegular is of a FIFO, a device, a directory or the like where a file is to be.
var ErrNotRegular = errors.New("it is not a regular file")

// ErrOther is of a path at which something else stands by now than was made there.
var ErrOther = errors.New("something else stands there by now, and is left alone")

// maxPath is what fits into sockaddr_un with its final NUL on every system.
const maxPath = 103

// CheckPath says by how much a path is too long for a unix socket, if it is.
func CheckPath(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("%d bytes are too long for a unix socket; %d fit", len(path), maxPath)
	}
	return nil
}
