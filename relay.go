package starter

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
)

// relay copies what workers write to the log, line by line, each with the pid of
// who has written it.
type relay struct {
	log    *logger
	open   sync.WaitGroup // pipes that somebody may write to
	copied atomic.Int64   // lines

	mu    sync.Mutex
	pipes map[*os.File]bool // that are open
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
	r.follow(from, p.Pid())
	return p, nil
}

// follow copies what comes from a pipe until nobody can write to it any more, or
// wait closes it.
func (r *relay) follow(from *os.File, pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipes == nil {
		r.pipes = map[*os.File]bool{}
	}
	r.pipes[from] = true
	r.open.Go(func() {
		r.copy(from, pid)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.pipes, from)
		from.Close()
	})
}

func (r *relay) copy(from io.Reader, pid int) {
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
	r.log.Add(func() {
		defer close(done)
		_, _ = io.WriteString(r.log.out, text)
	})
	<-done
	r.copied.Add(1)
}

// lastWords is how long wait may take at most.
const lastWords = 10 * time.Second

// wait is for when all workers have ended: it blocks until everything that was
// written is copied, but gives a log that takes nothing up after a while, and what a
// process that the workers have left behind may yet write.
func (r *relay) wait() {
	done := make(chan struct{})
	go func() {
		r.open.Wait()
		close(done)
	}()
	for end := time.Now().Add(lastWords); ; {
		before := r.copied.Load()
		select {
		case <-done:
			return
		case <-time.After(output.FlushTime):
		}
		if r.copied.Load() == before || time.Now().After(end) {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for from := range r.pipes {
		from.Close() // who still writes there is to learn that nobody reads
	}
}
