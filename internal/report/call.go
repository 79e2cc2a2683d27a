package report

import (
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
)

// lineTime is how long Caller waits for a command to read a line that is longer than a pipe holds.
// The rest of the line is then written while it goes on.
const lineTime = 100 * time.Millisecond

// Caller returns what starts the command of a call. The line of the event is its standard input,
// and its output goes where that of workers goes. It leads a process group, as a log
// command does: Ctrl-C in a terminal is not for it.
func Caller(out *output.Output, env func() []string) func(Call) (Running, error) {
	return func(c Call) (Running, error) {
		in, line, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer in.Close()
		written := make(chan struct{})
		go func() {
			defer close(written)
			defer line.Close()
			_ = line.SetWriteDeadline(time.Now().Add(callTime))
			_, _ = line.WriteString(c.Event) // the command need not read it
		}()
		stdout, stderr := out.Descriptors()
		p, err := proc.Start(proc.Command{
			Args: []string{"/bin/sh", "-c", c.Command}, Env: env(),
			Files: []int{int(in.Fd()), stdout, stderr}, Group: true,
		})
		if err != nil {
			return nil, err // p would be an interface that holds a nil
		}
		select { // what is in the pipe stays there over an upgrade
		case <-written:
		case <-time.After(lineTime):
		}
		return p, nil
	}
}
