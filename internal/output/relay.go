package output

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// relays copy the output of workers to the log, line by line. Each line names its worker.
type relays struct {
	log    *Output
	open   sync.WaitGroup // pipes that are being copied
	copied atomic.Int64   // lines

	mu    sync.Mutex
	pipes map[*os.File]Worker // the open ones, each with its worker
	held  bool                // nothing is copied
	parts map[*os.File]string // the part of a line that each had read when it was held
}

// longestLine is how many bytes of a line are kept together.
const longestLine = 64 << 10

// Relay is a pipe for what one worker writes, or with [Form.Workers] a pipe for its stdout
// and another one for its stderr. It is copied to the log line by line, each with the worker
// before it, as in "[4711] hello". A line of more than 64 KiB becomes several. The worker
// waits while the log takes nothing.
type Relay struct {
	out    *Output
	pipes  []relayPipe       // one, or one for stdout and one for stderr
	copied []<-chan struct{} // one for each pipe: closed when nothing more is copied from it
}

type relayPipe struct {
	from   *os.File
	to     int
	stream string
}

// Relay makes the pipes for a worker that is about to be started. Begin or Cancel has to
// follow.
func (o *Output) Relay() (*Relay, error) {
	r := &Relay{out: o}
	streams := []string{""}
	if o.form.Workers {
		streams = []string{"stdout", "stderr"}
	}
	for _, stream := range streams {
		from, to, err := pipe()
		if err != nil {
			r.Cancel()
			return nil, err
		}
		r.pipes = append(r.pipes, relayPipe{from, to, stream})
	}
	return r, nil
}

// Descriptors are the stdout and stderr for the worker. Begin and Cancel close them.
func (r *Relay) Descriptors() (stdout, stderr int) {
	return r.pipes[0].to, r.pipes[len(r.pipes)-1].to
}

// Begin starts copying the output of the worker, which has been started. Copying ends when no
// process can write to the pipes any more, or when [Output.Wait] closes them.
func (r *Relay) Begin(w Worker) {
	for _, p := range r.pipes {
		closePipe(p.to)
		w.Stream = p.stream
		r.copied = append(r.copied, r.out.relays.follow(p.from, w, ""))
	}
}

// settleTime is how long Settle waits while no line is copied: another process may hold the pipe
// of the worker that has ended, or the log may hang. settleMost bounds its wait for each pipe.
const (
	settleTime = 100 * time.Millisecond
	settleMost = time.Second
)

// Settle blocks until all output of the worker, which has ended, is copied: for 100 ms at most, or
// for up to 1 s for each pipe while more keeps coming.
func (r *Relay) Settle() {
	for _, copied := range r.copied {
		if !r.out.relays.until(copied, settleTime, settleMost) {
			return
		}
	}
}

// Cancel is for a worker that could not be started.
func (r *Relay) Cancel() {
	for _, p := range r.pipes {
		closePipe(p.to)
		p.from.Close()
	}
}

// Wait blocks until all output of workers is copied. Call it after the last worker has ended:
// its remaining output is copied for 2 s, or for up to 10 s while more keeps coming. Then the
// pipes are closed: a process that the workers have left behind gets an error when it writes
// there.
func (o *Output) Wait() { o.relays.wait() }

// follow copies what comes from a pipe until no process can write to it any more, wait closes
// it, or it is held. Then the channel that follow has returned is closed.
// begun is the beginning of a line that was read before.
func (r *relays) follow(from *os.File, of Worker, begun string) <-chan struct{} {
	copied := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipes == nil {
		r.pipes = map[*os.File]Worker{}
	}
	r.pipes[from] = of
	r.open.Go(func() {
		defer close(copied)
		for part := begun; ; {
			var stopped bool
			if part, stopped = r.copy(from, of, part); r.ends(from, part, stopped) {
				return
			}
		}
	})
	return copied
}

// ends tells whether copying has ended, or was stopped and is held. If it was stopped and released
// again, copying goes on.
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

// copy copies lines until the end, or until it is held: part is then the beginning of the next
// line.
func (r *relays) copy(from io.Reader, of Worker, begun string) (part string, held bool) {
	in := bufio.NewReaderSize(io.MultiReader(strings.NewReader(begun), from), longestLine)
	var rest []byte // of a line that was cut in the middle of a character
	for {
		line, err := in.ReadSlice('\n')
		if len(rest) > 0 {
			line = append(rest, line...)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return string(line), true
		}
		rest = nil
		cut := err == bufio.ErrBufferFull
		if cut {
			whole := wholeRunes(line)
			line, rest = line[:whole], slices.Clone(line[whole:])
		}
		if len(line) > 0 {
			r.write(of, line, cut)
		}
		if err != nil && !cut {
			return "", false
		}
	}
}

// wholeRunes is the length of a text without an incomplete UTF-8 character at its end.
func wholeRunes(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return len(text) - n
			}
			break
		}
	}
	return len(text)
}

// write prints a whole line, or with cut the part of a line that goes on. It waits until that
// is written, so a worker that writes more than the log takes has to wait, too.
func (r *relays) write(of Worker, line []byte, cut bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	done := make(chan struct{})
	r.log.print(func(f form) string { return f.relayed(of, line, cut, time.Now()) }, func() { close(done) })
	<-done
	r.copied.Add(1)
}

// lastWords bounds the whole wait. While no line is copied it waits for FlushTime only.
const lastWords = 10 * time.Second

func (r *relays) wait() {
	done := make(chan struct{})
	go func() {
		r.open.Wait()
		close(done)
	}()
	if r.until(done, FlushTime, lastWords) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for from := range r.pipes {
		from.Close()
	}
}

// until blocks until done is closed, but no longer than idle while no line is copied, and no
// longer than most and idle in all. It tells whether done is closed.
func (r *relays) until(done <-chan struct{}, idle, most time.Duration) bool {
	for end := time.Now().Add(most); ; {
		before := r.copied.Load()
		select {
		case <-done:
			return true
		case <-time.After(idle):
		}
		if r.copied.Load() == before || !time.Now().Before(end) {
			return false
		}
	}
}
