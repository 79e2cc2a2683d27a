// Package fd makes sockets, pipes and duplicates that no child inherits by mistake, and
// reads /proc/PID/stat.
package fd

import (
	"fmt"
	"runtime"
)

// maxPath is what fits into sockaddr_un with its final NUL.
func maxPath() int {
	if runtime.GOOS == "linux" {
		return 107
	}
	return 103
}

// CheckPath says that a path is too long for a unix socket, if it is.
func CheckPath(path string) error {
	if len(path) > maxPath() {
		return fmt.Errorf("%d bytes are too long for a unix socket; %d fit", len(path), maxPath())
	}
	return nil
}
