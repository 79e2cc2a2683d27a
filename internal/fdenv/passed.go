package fdenv

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// Passed is a socket that a service manager has passed to this process.
type Passed struct {
	FD   int
	Name string // "": it has none
}

// maxPassed is more descriptors than a process may have.
const maxPassed = 1 << 20

// firstPassed is the first descriptor that is passed, SD_LISTEN_FDS_START.
const firstPassed = 3

// TakePassed finds the sockets that are passed to process pid, in their order, by the
// variables of sd_listen_fds_with_names(3). With "*" in names it returns all, otherwise those
// that have one of the names. Those that are Kept are not among them. The error lists every
// name that no socket has.
func TakePassed(getenv func(string) string, pid int, names []string) ([]Passed, error) {
	if len(names) == 0 {
		return nil, nil
	}
	all, err := passed(getenv, pid)
	if err != nil {
		return nil, fmt.Errorf("inherit: %w", err)
	}
	all = slices.DeleteFunc(all, Passed.kept)
	if len(all) == 0 {
		return nil, errors.New("inherit: all sockets that LISTEN_FDS passes are those of the descriptor store: a .socket unit of systemd passes others")
	}
	var faults []error
	for _, name := range names {
		if name != "*" && !slices.ContainsFunc(all, func(p Passed) bool { return p.Name == name }) {
			faults = append(faults, fmt.Errorf("inherit %q: LISTEN_FDNAMES=%q has no such name", name, getenv("LISTEN_FDNAMES")))
		}
	}
	if !slices.Contains(names, "*") {
		all = slices.DeleteFunc(all, func(p Passed) bool { return !slices.Contains(names, p.Name) })
	}
	return all, errors.Join(faults...)
}

func passed(getenv func(string) string, pid int) ([]Passed, error) {
	count, whose := getenv("LISTEN_FDS"), getenv("LISTEN_PID")
	switch n, err := strconv.Atoi(whose); {
	case count == "" || whose == "":
		return nil, errors.New("no socket is passed, as LISTEN_FDS and LISTEN_PID are not set: a .socket unit of systemd does that")
	case err != nil || n != pid:
		return nil, fmt.Errorf("LISTEN_PID is %q and not our own, %d: the sockets are meant for another process", whose, pid)
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > maxPassed {
		return nil, fmt.Errorf("LISTEN_FDS is %q, which is no number of sockets", count)
	}
	found := make([]Passed, n)
	for i := range found {
		found[i].FD = firstPassed + i
	}
	if names := getenv("LISTEN_FDNAMES"); names != "" {
		list := strings.Split(names, ":")
		if len(list) != n {
			return nil, fmt.Errorf("LISTEN_FDNAMES=%q names %d sockets, and LISTEN_FDS is %d", names, len(list), n)
		}
		for i, name := range list {
			if name != unnamed {
				found[i].Name = name
			}
		}
	}
	return found, nil
}

// Untaken are the sockets that LISTEN_FDS passes to the process pid, without those at the
// descriptors in taken and those that are Kept. It returns none if something is wrong with the
// variables: that does not concern a process that asks for no sockets.
func Untaken(getenv func(string) string, pid int, taken []int) []Passed {
	all, err := passed(getenv, pid)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(all, func(p Passed) bool { return p.kept() || slices.Contains(taken, p.FD) })
}

// fewPassed is how many sockets Describe names at most.
const fewPassed = 8

// Describe names passed sockets for people, each by its descriptor and name.
func Describe(sockets []Passed) string {
	var which []string
	for _, p := range sockets[:min(fewPassed, len(sockets))] {
		which = append(which, strings.TrimSuffix(fmt.Sprintf("%d:%s", p.FD, text.Line(p.Name)), ":"))
	}
	if len(sockets) > fewPassed {
		which = append(which, "…")
	}
	return strings.Join(which, " ")
}
