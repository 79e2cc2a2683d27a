package launch

import (
	"fmt"
	"runtime"
	"sort"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
)

// maxVariable is how many bytes NAME=VALUE may have with its NUL on Linux (execve(2),
// MAX_ARG_STRLEN).
const maxVariable = 128 << 10

// fit says which variable is too long to tell a worker of all the sockets, and how many of
// them fit.
func (p *Program) fit(sockets []fdenv.Socket) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	name, size := p.longest(sockets)
	if size <= maxVariable {
		return nil
	}
	fits := sort.Search(len(sockets), func(n int) bool {
		_, size := p.longest(sockets[:n+1])
		return size > maxVariable
	})
	return fmt.Errorf("%d sockets are too many to be told of: %s would have %d bytes, and a variable may have %d: the first %d fit",
		len(sockets), name, size, maxVariable, fits)
}

// longest is the longest variable that tells of the sockets.
func (p *Program) longest(sockets []fdenv.Socket) (name string, size int) {
	told := fdenv.ServerStarter(sockets, 1)
	for _, e := range p.Exports {
		told = append(told, e.Environ(sockets, fdenv.Worker{})...)
	}
	for _, variable := range told {
		if len(variable)+1 > size {
			name, _, _ = strings.Cut(variable, "=")
			size = len(variable) + 1
		}
	}
	return name, size
}
