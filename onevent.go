package starter

import (
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
)

// eventTime is how long a command may leave the line of its event unread.
const eventTime = 30 * time.Second

// lineTime is how long a line takes that the pipe has no room for, until it is left to itself.
const lineTime = 100 * time.Millisecond

// startForEvent starts a command for an event. It leads a process group, as the log command
// does: Ctrl-C in a terminal is not for it.
func (s *Starter) startForEvent(c report.Call) (report.Running, error) {
	in, line, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer line.Close()
		_ = line.SetWriteDeadline(time.Now().Add(eventTime))
		_, _ = line.WriteString(c.Event) // it need not read it
	}()
	stdout, stderr := s.out.Descriptors()
	p, err := proc.Start(proc.Command{
		Args: []string{"/bin/sh", "-c", c.Command}, Env: launch.Unique(os.Environ()).Without(s.config.forManaged),
		Files: []int{int(in.Fd()), stdout, stderr}, Group: true,
	})
	if err != nil {
		return nil, err // and no interface that holds a nil
	}
	select { // what is in the pipe stays there over an upgrade
	case <-written:
	case <-time.After(lineTime):
	}
	return p, nil
}
