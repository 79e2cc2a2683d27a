package output

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// relays copy what workers write to the log, line by line, each with the pid of
// the worker that has written it.
type relays struct {
	log    *Output
	open   sync.WaitGroup // pipes that somebody may write to
	copied atomic.Int64   // lines

	mu    sync.Mutex
	pipes map[*os.File]int    // that are open, and of which worker
	held  bool                // nothing is copied
	parts map[*os.File]string // of a line, that were read before it was
}

// longestLine is how many bytes of a line are kept together.
const longestLine = 64 << 10

// Relay is a pipe for what one worker writes. It is copied to the log line by line, each
// with the worker's pid before it, as in "[4711] hello"; a line of more than 64 KiB
// becomes several. The worker waits while the log takes nothing.
type Relay struct {
	out  *Output
	from *os.File
	to   int
}

// Relay makes a pipe for a worker that is about to be started. Begin or Cancel has to
// follow.
func (o *Output) Relay() (*Relay, error) {
	from, to, err := pipe()
	if err != nil {
		return nil, err
	}
	return &Relay{o, from, to}, nil
}

// Descriptor is what the worker is to have as its stdout and stderr. Begin and Cancel
// close it.
func (r *Relay) Descriptor() int { return r.to }

// Begin has copied what the worker writes, which has been started, until nobody can write
// to the pipe any more or [Output.Wait] closes it.
func (r *Relay) Begin(pid int) {
	closePipe(r.to)
	r.out.relays.follow(r.from, pid, "")
}

// Cancel is for a worker that could not be started.
func (r *Relay) Cancel() {
	closePipe(r.to)
	r.from.Close()
}

// Wait blocks until all is copied that workers have written. After the last worker has
// ended, which is when to call it, its remaining output is copied for 2 s, or for up to
// 10 s while more keeps coming. Then the pipes are closed: a process that the workers have
// left behind gets an error when it writes there.
func (o *Output) Wait() { o.relays.wait() }

// follow copies what comes from a pipe until nobody can write to it any more, or
// wait closes it.
// begun is the beginning of a line that was read before.
func (r *relays) follow(from *os.File, pid int, begun string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipes == nil {
		r.pipes = map[*os.File]int{}
	}
	r.pipes[from] = pid
	r.open.Go(func() {
		for part := begun; ; {
			var stopped bool
			if part, stopped = r.copy(from, pid, part); r.ends(from, part, stopped) {
				return
			}
		}
	})
}

// ends tells whether copying has ended, or else was stopped and is held; it was let go again if
// not.
func (r *relays) ends(from *os.File, part string, stopped bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case stopped && r.held:
		r.parts[from] = part
	case stopped:
		return false
	default:
		delete(r.pipes, from)
		from.Close()
	}
	return true
}

// copy copies lines until the end, or until they are held; part is then what there is of
// the next one.
func (r *relays) copy(from io.Reader, pid int, begun string) (part string, held bool) {
	in := bufio.NewReaderSize(io.MultiReader(strings.NewReader(begun), from), longestLine)
	prefix := fmt.Sprintf("[%d] ", pid)
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return string(line), true
		}
		if len(line) > 0 {
			r.write(prefix, line)
		}
		if err != nil && err != bufio.ErrBufferFull {
			return "", false
		}
	}
}

// write prints a line whole, and waits until that is done: a worker that writes more
// than the log takes has to wait, too.
func (r *relays) write(prefix string, line []byte) {
	text := prefix + string(line)
	if text[len(text)-1] != '\n' {
		text += "\n"
	}
	done := make(chan struct{})
	r.log.print(text, func() { close(done) })
	<-done
	r.copied.Add(1)
}

// lastWords is how long wait may take at most, and FlushTime how long while nothing comes.
const lastWords = 10 * time.Second

func (r *relays) wait() {
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
		case <-time.After(FlushTime):
		}
		if r.copied.Load() == before || !time.Now().Before(end) {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for from := range r.pipes {
		from.Close()
	}
}
