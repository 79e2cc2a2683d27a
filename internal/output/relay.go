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

// relays copy what workers write to the log, line by line, each with the worker that has
// written it.
type relays struct {
	log    *Output
	open   sync.WaitGroup // pipes that somebody may write to
	copied atomic.Int64   // lines

	mu    sync.Mutex
	pipes map[*os.File]Worker // that are open, and of which worker
	held  bool                // nothing is copied
	parts map[*os.File]string // of a line, that were read before it was
}

// longestLine is how many bytes of a line are kept together.
const longestLine = 64 << 10

// Relay is a pipe for what one worker writes, or with [Form.Workers] a pipe for its stdout
// and another one for its stderr. It is copied to the log line by line, each with the worker
// before it, as in "[4711] hello"; a line of more than 64 KiB becomes several. The worker
// waits while the log takes nothing.
type Relay struct {
	out    *Output
	pipes  []relayPipe       // one, or that of stdout and that of stderr
	copied []<-chan struct{} // closed when nothing more is copied from it
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

// Descriptors are what the worker is to have as its stdout and stderr. Begin and Cancel
// close them.
func (r *Relay) Descriptors() (stdout, stderr int) {
	return r.pipes[0].to, r.pipes[len(r.pipes)-1].to
}

// Begin has copied what the worker writes, which has been started, until nobody can write
// to the pipes any more or [Output.Wait] closes them.
func (r *Relay) Begin(w Worker) {
	for _, p := range r.pipes {
		closePipe(p.to)
		w.Stream = p.stream
		r.copied = append(r.copied, r.out.relays.follow(p.from, w, ""))
	}
}

// settleTime is how long Settle waits while no line comes, for a process that has the pipe of a
// worker that has ended, or for a log that hangs; settleMost is how long it may take at most.
const (
	settleTime = 100 * time.Millisecond
	settleMost = time.Second
)

// Settle blocks until all is copied that the worker has written, which has ended: for 100 ms at
// most, or for up to 1 s while more keeps coming.
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

// Wait blocks until all is copied that workers have written. After the last worker has
// ended, which is when to call it, its remaining output is copied for 2 s, or for up to
// 10 s while more keeps coming. Then the pipes are closed: a process that the workers have
// left behind gets an error when it writes there.
func (o *Output) Wait() { o.relays.wait() }

// follow copies what comes from a pipe until nobody can write to it any more, or
// wait closes it, and closes what it has returned then.
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

// wholeRunes is how long a text is without a character of UTF-8 that is not all there.
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

// write prints a line whole, or with cut a part of one that goes on, and waits until that is
// done: a worker that writes more than the log takes has to wait, too.
func (r *relays) write(of Worker, line []byte, cut bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	done := make(chan struct{})
	r.log.print(func(f form) string { return f.relayed(of, line, cut, time.Now()) }, func() { close(done) })
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
	if r.until(done, FlushTime, lastWords) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for from := range r.pipes {
		from.Close()
	}
}

// until blocks until done is closed, but no longer than idle while no line is copied, and hardly
// longer than most. It tells whether done is closed.
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
