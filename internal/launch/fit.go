package launch

import (
	"fmt"
	"runtime"
	"slices"
	"sort"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// maxVariable is how many bytes NAME=VALUE may have with its NUL on Linux (execve(2),
// MAX_ARG_STRLEN).
const maxVariable = 128 << 10

// fit fails if a variable that tells a worker of all the sockets would be too long. The error
// names it, and says how many sockets fit.
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
	return fmt.Errorf("%s %s too many to be told of: %s would have %d bytes, and a variable may have %d: the first %d fit",
		text.Count(len(sockets), "socket"), text.Verb(len(sockets), "is", "are"), name, size, maxVariable, fits)
}

// longest is the longest variable that tells of the sockets.
func (p *Program) longest(sockets []fdenv.Socket) (name string, size int) {
	told := fdenv.ServerStarter(sockets, 1)
	for _, e := range p.Exports {
		told = append(told, e.Environ(sockets, fdenv.Worker{})...)
	}
	longest := slices.MaxFunc(told, func(a, b string) int { return len(a) - len(b) })
	name, _, _ = strings.Cut(longest, "=")
	return name, len(longest) + 1
}
