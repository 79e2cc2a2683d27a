package starter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// lastWords are the last lines of the log of the attempt whose failure err is.
func (s *Starter) lastWords(err error) []string {
	var failure *supervise.Failure
	if !errors.As(err, &failure) {
		return nil
	}
	return s.out.Tail(failure.Generation)
}

// explain adds the last lines of the log to why an attempt has failed.
func (s *Starter) explain(err error) error {
	lines := s.lastWords(err)
	if len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%w\nits log:\n  %s", err, printable(strings.Join(lines, "\n  ")))
}
