//go:build unix

package output

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// command is a log command that is started again whenever it ends. The reading
// end of its pipe stays open here: what it has not read waits for the next one,
// and no process that writes meanwhile gets SIGPIPE.
type command struct {
	args           []string
	name           string // of this program
	run            Runner
	reader         *os.File
	stdout, stderr *os.File // what they were before the log was put there
	died           func(pid, status int, err error)
	closing        atomic.Bool
	lasts          bool          // it runs as long as any process may write to it, also when closing
	quit           chan struct{} // closed when the superdaemon writes no more
	given          chan struct{} // closed when nothing waits for the command any longer
	ended          chan struct{} // closed when the last run is over

	mu      sync.Mutex // held from hand until its release
	process Process    // the one that runs; nil: none does
}

func (c *command) set(p Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process = p
}

// respawnPause spaces the runs of a command that keeps ending.
const respawnPause = time.Second

// startCommand starts the command args, and returns the writing end of its
// pipe. All other descriptors are close-on-exec: the command holds no port open.
func startCommand(args []string, name string, run Runner, died func(pid, status int, err error)) (*os.File, *command, error) {
	r, w, err := fd.Pipe()
	if err != nil {
		return nil, nil, err
	}
	reader, writer := os.NewFile(uintptr(r), "log command's stdin"), os.NewFile(uintptr(w), "log command")
	c := &command{
		args:   args,
		name:   name,
		run:    run,
		reader: reader,
		died:   died,
		quit:   make(chan struct{}),
		given:  make(chan struct{}),
		ended:  make(chan struct{}),
	}
	if c.stdout, err = dup(os.Stdout); err == nil {
		c.stderr, err = dup(os.Stderr)
	}
	var p Process
	if err == nil {
		p, err = c.start()
	}
	if err != nil {
		writer.Close()
		c.release()
		return nil, nil, err
	}
	c.set(p)
	go c.keep(p)
	return writer, c, nil
}

func dup(f *os.File) (*os.File, error) {
	n, err := fd.Dup(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(n), f.Name()), nil
}

func (c *command) start() (Process, error) {
	return c.run(c.args, []int{int(c.reader.Fd()), int(c.stdout.Fd()), int(c.stderr.Fd())})
}

// keep waits for each run and begins the next, until done.
func (c *command) keep(p Process) {
	defer c.end()
	quit := c.quit
	for {
		began := time.Now()
		if p != nil {
			status := p.Wait()
			c.set(nil)
			if c.done() {
				return
			}
			if !c.closing.Load() {
				c.died(p.Pid(), status, nil)
			}
			// Perhaps nothing reads the log now, so tell the terminal too.
			fmt.Fprintf(c.stderr, "%s: log command %d ended with status:%d, starting it again\n", c.name, p.Pid(), status)
		}
		if time.Since(began) < respawnPause && !c.pause(&quit) {
			return
		}
		p = c.again()
	}
}

// end is called when no other run follows. It takes the lock so that the command is handed over
// whole or not at all.
func (c *command) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release()
	close(c.ended)
}

// again starts another run. It returns nil if that fails.
func (c *command) again() Process {
	c.mu.Lock() // so that the new process is handed over, too
	p, err := c.start()
	if err != nil {
		p = nil
	}
	c.process = p
	c.mu.Unlock()
	if err != nil { // without the lock: died prints, and while Hand waits for the lock printing blocks
		c.died(0, 0, err)
	}
	return p
}

// pause waits before another run. When the superdaemon writes no more it returns at
// once: one more run reads what is unread. It tells whether another run follows.
func (c *command) pause(quit *chan struct{}) bool {
	select {
	case <-time.After(respawnPause):
	case <-*quit:
		*quit = nil
	case <-c.given:
		return false
	}
	return !c.done()
}

// done tells that everything was read and nothing more will be written, or that
// nothing waits for the command any longer.
func (c *command) done() bool {
	select {
	case <-c.given:
		return true
	default:
	}
	fds := []unix.PollFd{{Fd: int32(c.reader.Fd()), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	written := n > 0 && fds[0].Revents&unix.POLLIN != 0
	ended := n > 0 && fds[0].Revents&unix.POLLHUP != 0
	return c.closing.Load() && !written && (ended || !c.lasts)
}

// expectEnd says that the command may end from now on: its end is no fault then.
func (c *command) expectEnd() { c.closing.Store(true) }

// drain waits until the command has ended with nothing left to read, or until
// the limit is over.
func (c *command) drain(limit time.Duration) {
	close(c.quit)
	select {
	case <-c.ended:
	case <-time.After(limit):
		close(c.given)
	}
}

// openFile opens a log file for appending. A FIFO without a reader is an error:
// open(2) would block there. A write to a full FIFO blocks, as it should.
func openFile(path string) (*os.File, error) { return fd.OpenLog(path) }

func (c *command) release() {
	for _, f := range []*os.File{c.reader, c.stdout, c.stderr} {
		if f != nil {
			f.Close()
		}
	}
}
