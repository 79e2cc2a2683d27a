package fdenv

import (
	"slices"
	"strings"
)

// KeptPrefix begins the names of those sockets that a superdaemon of ours has put into the
// descriptor store of the service manager (FDSTORE=1, sd_notify(3)).
const KeptPrefix = "start_server/"

func (p Passed) kept() bool { return strings.HasPrefix(p.Name, KeptPrefix) }

// Kept are the sockets of the descriptor store that were passed to the process pid: none if
// something is wrong with the variables.
func Kept(getenv func(string) string, pid int) []Passed {
	all, _ := passed(getenv, pid)
	return slices.DeleteFunc(all, func(p Passed) bool { return !p.kept() })
}
