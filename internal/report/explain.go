package report

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Explain adds the last lines of its log to the error of an attempt that has failed. Another
// error stays as it is.
func Explain(err error, out *output.Output) error {
	var failure *supervise.Failure
	if !errors.As(err, &failure) {
		return err
	}
	lines := out.Tail(failure.Generation)
	if len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%w\nits log:\n  %s", err, text.Lines(strings.Join(lines, "\n  ")))
}

// Orphans returns a function that tells of orphans of workers that are sent a signal at the
// end: first TERM, and KILL after limit.
func Orphans(out *output.Output, limit time.Duration) func(pids []int, sig os.Signal) {
	return func(pids []int, sig os.Signal) {
		still := ""
		if sig == os.Kill {
			still = fmt.Sprintf(" that are still there %s secs later", text.Seconds(limit))
		}
		out.Printf("sending %s to orphans of workers%s:%s", text.SignalName(sig), still, numbers(pids))
	}
}

// Refused returns a function that tells of clients which the control socket has refused. more
// is how many others it has refused since the last call.
func Refused(out *output.Output) func(why string, more int) {
	return func(why string, more int) {
		line := "refused on the control socket: " + why
		if more > 0 {
			line += fmt.Sprintf(", and %d more since the last such line", more)
		}
		out.Warnf("%s", line)
	}
}
