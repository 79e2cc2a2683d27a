package starter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/socket"
)

// leftBehind adds to the news that an address is in use that our own workers have it: those
// that the status file of a superdaemon still lists that was killed.
func (s *Starter) leftBehind(err error) error {
	var used *socket.InUseError
	if s.config.StatusFile == "" || !errors.As(err, &used) {
		return err
	}
	status, unread := runfile.ReadStatus(s.config.StatusFile)
	if unread != nil {
		return err
	}
	var left []string
	for _, e := range status.Entries {
		if slices.Contains(used.Pids, e.Pid) {
			left = append(left, fmt.Sprint(e.Pid))
		}
	}
	if len(left) == 0 {
		return err
	}
	return fmt.Errorf("%w; status file %q lists %s: if its %s was killed, end what it has left by: kill %s",
		err, s.config.StatusFile, strings.Join(left, " and "), s.config.Name, strings.Join(left, " "))
}
