package runfile

import (
	"fmt"
	"slices"
	"strings"
)

// LeftBehind is for an error which says that pids have an address. It adds which of them the
// status file at path lists: they are our own workers if their superdaemon, called name, was
// killed.
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
