// Package fd makes sockets, pipes and duplicates that no child inherits by mistake, and
// reads /proc/PID/stat.
package fd

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// ErrNotRegular says that a FIFO, a device, a directory or the like is where a file should be.
var ErrNotRegular = errors.New("it is not a regular file")

// ErrOther says that something else stands at a path by now than what was made there.
var ErrOther = errors.New("something else is there now, and is left alone")

// maxPath is what fits into sockaddr_un with its final NUL.
func maxPath() int {
	if runtime.GOOS == "linux" {
		return 107
	}
	return 103
}

// CheckPath says that a path is too long for a unix socket, if it is.
func CheckPath(path string) error {
	if name := SocketName(path); len(name) > maxPath() {
		return fmt.Errorf("%d bytes are too long for a unix socket; %d fit", len(name), maxPath())
	}
	return nil
}

// SocketName is a path as the name of a unix socket. Go takes a name that begins with @ for an
// abstract socket, which has no file.
func SocketName(path string) string {
	if strings.HasPrefix(path, "@") {
		return "./" + path
	}
	return path
}
