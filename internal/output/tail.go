package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// What is quoted of a log file.
const (
	tailLines = 20
	tailLine  = 1 << 10  // bytes of a line
	tailBytes = 64 << 10 // that are looked at
)

// Mark notes that what is written to a log file from now on is of a generation. It does
// nothing if that generation is not a new one. It may block on the disk.
func (o *Output) Mark(generation int) { o.tail.mark(generation) }

// Keep makes another goroutine read the last lines of a failed generation from the log file:
// after what was printed before is written, and before what is printed later. It never blocks.
func (o *Output) Keep(generation int) {
	o.Do(func() { o.tail.keep(generation) })
}

// Tail returns the last lines of the generation that has failed last, as [Output.Keep] has
// read them: twenty at most, of 1 KiB at most each, in valid UTF-8. Lines in JSON are given as
// plain text, others as they were written. It waits for Keep, for [FlushTime] at most. nil: the
// lines are not known, or there are none.
func (o *Output) Tail(generation int) []string {
	read := make(chan struct{})
	o.Do(func() { close(read) })
	select {
	case <-read:
		return o.tail.of(generation)
	case <-time.After(FlushTime):
		return nil // the log hangs
	}
}

// tail reads what was written to the log file since the newest generation
// was begun. Without a log file there is nothing to read.
type tail struct {
	mu         sync.Mutex
	file       *os.File // nil: the log is not a file
	generation int      // the newest
	begin      int64    // where the file ended when that was begun
	failed     int      // the last that failed
	lines      []string // of the one that failed
}

// open opens the log file for reading. log is the file that is written to.
func (t *tail) open(path string, log *os.File) error {
	info, err := log.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := fd.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, os.ErrPermission) {
		return nil // it can be written only: nothing is quoted then
	}
	if err != nil {
		return fmt.Errorf("cannot read the log: %w", err)
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		f.Close()
		return err // another one has come in its place
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.file = f
	return nil
}

// reopen reads another file from now on. What stands there before from was written by others. If
// the file can be written only, nothing is quoted.
func (t *tail) reopen(path string, log *os.File, from int64) {
	t.close()
	_ = t.open(path, log)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin = from
}

func (t *tail) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
}

// mark remembers where the log of a generation begins.
func (t *tail) mark(generation int) { t.markBy(generation, (*os.File).Stat) }

// markBy is mark with what looks at the file.
func (t *tail) markBy(generation int, look func(*os.File) (os.FileInfo, error)) {
	t.mu.Lock()
	file, old := t.file, generation <= t.generation
	t.mu.Unlock()
	if file == nil || old {
		return
	}
	info, err := look(file) // without the lock: a file system may hang, and close must not wait for it
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case generation <= t.generation:
	case file != t.file: // reopen has set begin
		t.generation = generation
	case err == nil:
		t.generation, t.begin = generation, info.Size()
	}
}

// keep reads the last lines of a generation that has failed just now.
func (t *tail) keep(generation int) {
	t.mu.Lock()
	t.failed, t.lines = generation, nil
	file, begin := t.file, t.begin
	if generation != t.generation {
		file = nil
	}
	t.mu.Unlock()
	if file == nil {
		return
	}
	lines := readTail(file, begin) // without the lock: a disk may be slow, and mark must not wait for it
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = lines
}

// readTail reads the last lines that were written since the file ended at begin.
func readTail(file *os.File, begin int64) []string {
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	if begin > info.Size() {
		begin = 0 // it was truncated meanwhile
	}
	begin = max(begin, info.Size()-tailBytes)
	// Read one byte more, to see whether the text begins with a whole line. It does
	// not if the file is long, or was truncated and has grown again.
	from := max(0, begin-1)
	text, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
	if err != nil {
		return nil
	}
	if from < begin {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return lastLines(text)
}

// of are the last lines of a generation, nil if they are not known.
func (t *tail) of(generation int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if generation != t.failed {
		return nil
	}
	return t.lines
}

func lastLines(text []byte) []string {
	text = bytes.TrimRight(text, "\n")
	if len(text) == 0 {
		return nil
	}
	lines := bytes.Split(text, []byte("\n"))
	var last []string
	for _, line := range lines[max(0, len(lines)-tailLines):] {
		for one := range strings.SplitSeq(plain(string(line)), "\n") {
			last = append(last, strings.ToValidUTF8(one[:min(len(one), tailLine)], "?"))
		}
	}
	return last[max(0, len(last)-tailLines):]
}

// plain is a line of JSON as plain text. Any other line stays as it is.
func plain(line string) string {
	about, quoted, _ := strings.Cut(line, `,"text":`)
	text, err := strconv.Unquote(strings.TrimSuffix(quoted, "}"))
	if err != nil || !strings.HasPrefix(about, `{"time":"`) {
		return line
	}
	if _, worker, is := strings.Cut(about, `"event":"output"`); is {
		_, pid, _ := strings.Cut(worker, `"pid":`)
		pid, _, _ = strings.Cut(pid, ",")
		return "[" + pid + "] " + text
	}
	return text
}
