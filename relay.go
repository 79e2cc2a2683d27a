package starter

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/proc"
)

// relay copies what workers write to the log, line by line, each with the pid of
// who has written it.
type relay struct {
	log  *logger
	open sync.WaitGroup // pipes that somebody may write to
}

// longestLine is how much of a line is kept together.
const longestLine = 64 << 10

// start starts a worker whose output goes by way of us, and not to what it would have
// as stdout and stderr.
func (r *relay) start(c proc.Command, stdout, stderr int) (*proc.Process, error) {
	from, to, err := proc.Pipe()
	if err != nil {
		return nil, err
	}
	defer proc.ClosePipe(to)
	for fd, ours := range map[int]int{1: stdout, 2: stderr} {
		if c.Files[fd] == ours { // no socket is pinned there
			c.Files[fd] = to
		}
	}
	p, err := proc.Start(c)
	if err != nil {
		from.Close()
		return nil, err
	}
	r.open.Go(func() { r.copy(from, p.Pid()) })
	return p, nil
}

func (r *relay) copy(from *os.File, pid int) {
	defer from.Close()
	in := bufio.NewReaderSize(from, longestLine)
	prefix := fmt.Sprintf("[%d] ", pid)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			r.write(prefix, line)
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

// write writes a line whole, after those that came before, and waits until that is
// done, so that who writes more than is read has to wait, too.
func (r *relay) write(prefix string, line []byte) {
	text := prefix + string(line)
	if text[len(text)-1] != '\n' {
		text += "\n"
	}
	done := make(chan struct{})
	r.log.add(func() {
		defer close(done)
		_, _ = io.WriteString(r.log.out, text)
	})
	<-done
}

// wait blocks until everything that was written is copied, for as long as a
// process that the workers have left behind may still write, but not for ever.
func (r *relay) wait() {
	done := make(chan struct{})
	go func() {
		r.open.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(flushTime):
	}
}
