//go:build unix

package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/probe/wire"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"golang.org/x/sys/unix"
)

// program is the name of the command, and of its process in reasons.
const program = "start_server_probe"

const (
	startTime  = 10 * time.Second       // until it says that it is there
	startPause = 100 * time.Millisecond // between the starts of processes that fail
	killTime   = time.Second            // until it is gone when it was killed
	// maxUnanswered is how many requests may lack an answer, with those that were taken back.
	maxUnanswered = 1000
)

// prober is start_server_probe as it runs. What comes from it is not trusted: the workers'
// user may have changed what it does.
type prober struct {
	process *proc.Process
	conn    *net.UnixConn
	sending chan struct{} // holds a token while a request is sent
	broken  chan struct{} // closed: nothing more can be asked
	gone    chan struct{} // closed: it has ended, and was waited for

	mu      sync.Mutex
	last    uint32                      // the ID of the last request
	asked   map[uint32]chan wire.Answer // requests without an answer; nil: nobody waits for that
	why     error                       // of broken
	waited  bool                        // its pid may be another process's by now
	started time.Time
	status  int // raw, when it is gone
}

// prober returns the process that runs, or starts one. It blocks until that is there, or
// ctx ends.
func (c *Checker) prober(ctx context.Context) (*prober, error) {
	select {
	case c.starts <- struct{}{}:
		defer func() { <-c.starts }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	p, failed, closed := c.runs, c.failed, c.closed
	c.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if p != nil {
		if !p.isBroken() {
			return p, nil
		}
		failed = p.started
		c.drop(p)
	}
	if !failed.IsZero() {
		pause(ctx, startPause-time.Since(failed))
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	began := time.Now()
	p, err := c.start(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = time.Time{}
	switch {
	case err != nil:
		c.failed = began
		return nil, err
	case c.closed || c.users == 0:
		c.ends(p)
		return nil, ErrClosed
	}
	c.runs = p
	return p, nil
}

// drop ends a process that is broken.
func (c *Checker) drop(p *prober) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = p.started
	if c.runs == p { // else it is ending already
		c.runs = nil
		c.ends(p)
	}
}

// Check says why the process that most probes need cannot be started, as far as that shows
// without starting it.
func (c *Checker) Check() error {
	for i := range c.Probes {
		if c.Probes[i].kind != "" {
			_, err := c.program()
			return err
		}
	}
	return nil
}

// program is how the process is started, without its environment and descriptors.
func (c *Checker) program() (proc.Command, error) {
	path := c.Command
	if path == "" {
		path = beside()
	}
	if path == "" {
		found, err := exec.LookPath(program)
		if err != nil { // also of one in a relative directory
			return proc.Command{}, fmt.Errorf("%s is neither beside start_server nor in PATH: install it, it comes with start_server", program)
		}
		path = found
	}
	start := proc.Command{Args: []string{path}, Credential: c.Credential, Dir: c.Dir, Group: true}
	return start, start.Check()
}

// beside is the command in the directory of our own executable; "": it is not there.
func beside() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	path := filepath.Join(filepath.Dir(self), program)
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return ""
	}
	return path
}

// start starts a process, and blocks until it says that it is there. On a busy machine this
// may take longer than a try. Its socket is its stdin.
func (c *Checker) start(ctx context.Context) (*prober, error) {
	start, err := c.program()
	if err != nil {
		return nil, err
	}
	if start.Env = os.Environ(); c.Env != nil {
		if start.Env, err = c.Env(); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil { // all that may have taken long
		return nil, context.Cause(ctx)
	}
	ours, theirs, err := fd.Pair()
	if err != nil {
		return nil, err
	}
	_ = fd.RefuseRights(ours) // before Linux 6.16 a descriptor may hold up the reader, and nothing else
	conn, err := connection(ours)
	if err != nil {
		unix.Close(theirs)
		return nil, err
	}
	stderr := 2
	if c.Stderr != nil {
		stderr = c.Stderr()
	}
	start.Files = []int{theirs, stderr, stderr}
	late := fmt.Errorf("not there within %v", startTime)
	ctx, done := context.WithTimeoutCause(ctx, startTime, late)
	defer done()
	began := time.Now()
	process, err := proc.StartContext(ctx, start)
	unix.Close(theirs) // or we would not see that the process ends
	if err != nil {
		conn.Close()
		return nil, err
	}
	p := &prober{
		process: process, conn: conn, started: began, sending: make(chan struct{}, 1),
		broken: make(chan struct{}), gone: make(chan struct{}),
	}
	if err = p.begin(ctx); err == nil {
		return p, nil
	}
	if errors.Is(err, late) {
		err = fmt.Errorf("%s was %w", program, late)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends(p)
	return nil, err
}

// begin reads what the process says, and blocks until it says that it is there.
func (p *prober) begin(ctx context.Context) error {
	hello := make(chan wire.Answer, 1)
	p.asked = map[uint32]chan wire.Answer{wire.Hello: hello}
	go p.wait()
	go p.read()
	select {
	case <-hello:
		return nil
	case <-p.broken:
		return p.why
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// connection is a socket for Go's poller.
func connection(n int) (*net.UnixConn, error) {
	file := os.NewFile(uintptr(n), program)
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil // the socket is of that family
}

func (p *prober) wait() {
	status := p.process.Wait()
	p.mu.Lock()
	p.waited, p.status = true, status
	p.mu.Unlock()
	close(p.gone)
}

func (p *prober) isBroken() bool {
	select {
	case <-p.broken:
		return true
	default:
		return false
	}
}

// fail makes all requests fail. It closes the socket: then the process ends, with all that it
// does. It does not block.
func (p *prober) fail(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == nil {
		p.why = why
		close(p.broken)
		p.conn.Close()
	}
}

// end ends the process, and kills it after 2 seconds: its commands may live on then. It blocks
// until the process is gone, or for 1 second after it was killed.
func (p *prober) end() {
	p.fail(ErrClosed)
	if p.goneWithin(endTime) {
		return
	}
	p.mu.Lock()
	if !p.waited && !p.process.Ended() {
		_ = p.process.Signal(os.Kill)
	}
	p.mu.Unlock()
	p.goneWithin(killTime)
}

func (p *prober) goneWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.gone:
		return true
	case <-timer.C:
		return false
	}
}

// read reads answers until the process ends or sends nonsense.
func (p *prober) read() {
	for {
		frame, err := wire.ReadFrame(p.conn, wire.MaxAnswer)
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			p.fail(p.howEnded())
			return
		}
		var answer wire.Answer
		if err == nil {
			answer, err = wire.DecodeAnswer(frame)
		}
		if err == nil {
			err = p.answered(answer)
		}
		if err != nil {
			p.fail(fmt.Errorf("%s has sent an invalid answer: %s", program, printable(err.Error())))
			return
		}
	}
}

// howEnded tells how the process has ended. One that has closed its socket is about to end.
func (p *prober) howEnded() error {
	if !p.goneWithin(killTime) {
		return fmt.Errorf("%s has closed its socket", program)
	}
	return fmt.Errorf("%s has ended, %s", program, describe(p.status))
}

// describe puts a raw wait status into words.
func describe(status int) string {
	if s := unix.WaitStatus(status); s.Signaled() {
		return "killed by signal " + unix.SignalName(s.Signal())[len("SIG"):]
	}
	return fmt.Sprintf("exit code %d", status>>8)
}

// answered passes an answer on. The error says that nothing like that was asked.
func (p *prober) answered(a wire.Answer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	waits, ok := p.asked[a.ID]
	if !ok {
		return errors.New("an answer to what was not asked")
	}
	delete(p.asked, a.ID)
	if waits != nil {
		waits <- a // it has room for one
	}
	return nil
}

// ask sends a request, and blocks until there is an answer or ctx ends, for the time in the
// request and 2 seconds at most.
func (p *prober) ask(ctx context.Context, r *wire.Request, fds []int) (wire.Answer, error) {
	answers := make(chan wire.Answer, 1)
	limit := (r.Timeout + overtime).Round(10 * time.Millisecond)
	silent := fmt.Errorf("%s has not answered within %s", program, seconds(limit))
	ctx, done := context.WithTimeoutCause(ctx, limit, silent)
	defer done()
	p.mu.Lock()
	p.last++
	r.ID, r.Descriptors = p.last, len(fds)
	p.asked[r.ID] = answers
	unanswered := len(p.asked)
	p.mu.Unlock()
	if unanswered > maxUnanswered {
		p.fail(fmt.Errorf("%s no longer answers", program))
	}
	if err := p.send(ctx, r, fds); err != nil {
		p.mu.Lock()
		delete(p.asked, r.ID)
		p.mu.Unlock()
		return wire.Answer{}, err
	}
	select {
	case a := <-answers:
		return a, nil
	case <-p.broken:
	case <-ctx.Done():
		if err := context.Cause(ctx); errors.Is(err, silent) {
			p.fail(err)
			return wire.Answer{}, err
		}
		p.takeBack(r.ID)
		return wire.Answer{}, context.Cause(ctx)
	}
	select { // the answer may have come just before
	case a := <-answers:
		return a, nil
	default:
		return wire.Answer{}, p.why
	}
}

// takeBack tells the process that nothing waits for an answer any more. The answer comes all
// the same. It does not matter if the process does not read this in time.
func (p *prober) takeBack(id uint32) {
	p.mu.Lock()
	_, unanswered := p.asked[id]
	if unanswered {
		p.asked[id] = nil
	}
	p.mu.Unlock()
	if unanswered {
		ctx, done := context.WithTimeout(context.Background(), cancelTime)
		defer done()
		_ = p.send(ctx, &wire.Request{ID: id, Kind: wire.Cancel}, nil)
	}
}

// cancelTime bounds how long takeBack may take.
const cancelTime = 100 * time.Millisecond

// send sends a request. It blocks until that is sent or ctx ends.
func (p *prober) send(ctx context.Context, r *wire.Request, fds []int) error {
	frame, err := r.Encode()
	if err != nil {
		return err
	}
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	case <-p.broken:
		return p.why
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_ = p.conn.SetWriteDeadline(time.Time{})
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = p.conn.SetWriteDeadline(time.Now())
		close(interrupted)
	})
	sent, err := wire.Send(p.conn, frame, fds)
	if !stop() {
		<-interrupted // or its deadline would hit the next request
	}
	switch {
	case err == nil:
		return nil
	case sent == 0 && ctx.Err() != nil:
		return context.Cause(ctx)
	case ctx.Err() != nil:
		p.fail(fmt.Errorf("%s accepts no requests", program))
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET), errors.Is(err, net.ErrClosed):
		select { // the reader finds out how it has ended
		case <-p.broken:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	default:
		p.fail(err)
	}
	return p.why
}
