package runfile

import (
	"fmt"
	"slices"
	"strings"
)

// LeftBehind adds to the error that pids have an address that our own workers have it: those
// that the status file at path still lists of a superdaemon, called name, that was killed.
func LeftBehind(err error, pids []int, path, name string) error {
	status, unread := ReadStatus(path)
	if unread != nil {
		return err
	}
	var left []string
	for _, e := range status.Entries {
		if slices.Contains(pids, e.Pid) {
			left = append(left, fmt.Sprint(e.Pid))
		}
	}
	if len(left) == 0 {
		return err
	}
	return fmt.Errorf("%w; status file %q lists %s: if its %s was killed, end the workers it left behind: kill %s",
		err, path, strings.Join(left, " and "), name, strings.Join(left, " "))
}
