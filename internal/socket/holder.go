package socket

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// InUseError says that an address is in use, and by which processes, as far as we may see
// them.
type InUseError struct {
	Pids   []int
	err    error
	advice string
}

func (e *InUseError) Unwrap() error { return e.err }

// namedHolders is how many processes are named at most; there may be many workers.
const namedHolders = 3

func (e *InUseError) Error() string {
	switch {
	case len(e.Pids) == 0:
		return fmt.Sprintf("%v; %s", e.err, e.advice)
	case slices.Equal(e.Pids, []int{os.Getpid()}): // as with 8080 and 127.0.0.1:8080
		return fmt.Sprintf("%v: this process has it, as another socket that was asked for or passed to it", e.err)
	}
	var named []string
	for _, pid := range e.Pids[:min(len(e.Pids), namedHolders)] {
		named = append(named, fmt.Sprintf("process %d (%s)", pid, commandOf(pid)))
	}
	if more := len(e.Pids) - len(named); more > 0 {
		named = append(named, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("%v; %s: %s %s it", e.err, e.advice, strings.Join(named, ", "), text.Verb(len(e.Pids), "has", "have"))
}
