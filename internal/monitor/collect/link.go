package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/text"
)

const (
	answerTime = 3 * time.Second        // for a superdaemon to answer
	firstPause = 100 * time.Millisecond // before the second attempt to connect
	lastPause  = 5 * time.Second        // between two attempts, at most
	keepAlive  = 30 * time.Second       // between two statuses if nothing asks for one
	stirPause  = 200 * time.Millisecond // between two statuses that events ask for
	sampleTime = 200 * time.Millisecond // for a look at the processes
)

// link is the conversation with one superdaemon. Only its own goroutines wait for the superdaemon.
type link struct {
	*Collector
	path  string
	named bool          // it is listed even if nothing listens, and no file is there
	kick  chan struct{} // a reader wants a status now
	stir  chan struct{} // an event has changed the status
	nudge chan struct{} // the path has changed: connect at once
	end   context.CancelFunc

	sampling sync.Mutex // guards usage
	usage    usage

	mu        sync.Mutex // guards what follows
	view      View       // without what is made of history
	history   history
	connected bool
	late      bool          // a status was asked for, and did not come in time
	next      chan struct{} // closed when a status that is asked for from now on is there
	signature string        // of what was last published
}

func newLink(c *Collector, path string, named bool) *link {
	return &link{
		Collector: c, path: path, named: named,
		kick: make(chan struct{}, 1), stir: make(chan struct{}, 1), nudge: make(chan struct{}, 1), next: make(chan struct{}),
		view:  View{Control: path, Named: named, Since: Moment{time.Now()}, Why: "it has not answered yet", Processes: map[int]Process{}, Counts: newCounts()},
		usage: usage{processes: map[int]*process{}, pss: pss},
	}
}

// set puts something into a channel that holds one.
func set(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run keeps in touch with the superdaemon until ctx ends.
func (l *link) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		answered, err := l.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if answered { // another image of it may go on: it is not down
			l.mu.Lock()
			l.view.Counts.Reconnects++
			l.mu.Unlock()
			if pause = firstPause; time.Since(began) > pause {
				continue
			}
		} else {
			l.down(err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			pause = min(2*pause, lastPause)
		case <-l.nudge:
			pause = firstPause
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// session is one connection. It returns when the connection has ended, and says whether the
// superdaemon had answered.
func (l *link) session(ctx context.Context) (answered bool, err error) {
	events, err := l.subscribe(ctx)
	if err != nil {
		return false, err
	}
	defer events.Close()
	asks, err := l.dial(ctx)
	if err != nil {
		return false, err
	}
	defer asks.Close()
	defer l.disconnected()
	if err := l.ask(ctx, asks); err != nil {
		return false, err
	}
	// By now the status tells which superdaemon the events come from.
	ended := make(chan struct{})
	watching, stop := context.WithCancel(ctx)
	go func() {
		defer close(ended)
		_ = events.Watch(watching, func(e control.Event) bool { l.hear(e); return true })
	}()
	defer func() { stop(); <-ended }()
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for l.idle(ctx, ended, alive.C) {
		if err := l.ask(ctx, asks); err != nil {
			return !errors.Is(err, errNoAnswer), err
		}
	}
	return true, errHungUp
}

// idle blocks until a status is wanted. The result is false if the connection has ended.
func (l *link) idle(ctx context.Context, ended <-chan struct{}, alive <-chan time.Time) bool {
	select {
	case <-ended:
		return false
	case <-ctx.Done():
		return false
	case <-l.kick:
		return true
	case <-alive:
		return true
	case <-l.stir:
	}
	timer := time.NewTimer(stirPause)
	defer timer.Stop()
	select { // other events may be on their way
	case <-ended:
		return false
	case <-ctx.Done():
		return false
	case <-l.kick:
	case <-timer.C:
	}
	return true
}

var (
	errNoAnswer = errors.New("it does not answer")
	errHungUp   = errors.New("it has hung up")
)

// bounded returns ctx with a limit of answerTime.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("%w within %v", errNoAnswer, answerTime))
}

func (l *link) dial(ctx context.Context) (*control.Client, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return control.Dial(ctx, l.path)
}

func (l *link) subscribe(ctx context.Context) (*control.Client, error) {
	c, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	if _, err = c.Do(ctx, control.Request{Command: "subscribe"}, nil); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ask asks for the status, and works it in.
func (l *link) ask(ctx context.Context, c *control.Client) error {
	l.mu.Lock()
	l.connected = true
	waits := l.next
	l.next = make(chan struct{})
	l.mu.Unlock()
	defer close(waits)

	ctx, cancel := bounded(ctx)
	defer cancel()
	answer, err := c.Do(ctx, control.Request{Command: "status"}, nil)
	if err == nil && answer.Status == nil {
		err = errors.New("the answer has no status")
	}
	if err != nil {
		return err
	}
	l.restate(answer.Status)
	return nil
}

// restate works a status in.
func (l *link) restate(s *control.Status) {
	now := time.Now()
	s = cleanStatus(s)
	l.state(s, now)
	l.sample(s, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publish()
}

// state notes what a status says.
func (l *link) state(s *control.Status, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.view.Up {
		l.view.Since.Time = now
	}
	l.view.Up, l.view.Asked, l.view.Why, l.view.Status, l.view.Seen.Time = true, true, "", s, now
	l.late = false
	l.history.restate(s, now)
}

// sample looks at the processes of a status. It blocks for sampleTime at most: how much memory a
// process has cannot be read while it maps a file on a file system that hangs. Until a look is over
// there is no other.
func (l *link) sample(s *control.Status, now time.Time) {
	if !l.sampling.TryLock() {
		return
	}
	over := make(chan struct{})
	go func() {
		defer l.sampling.Unlock()
		defer close(over)
		l.usage.sample(s, now)
		processes, cpu := l.usage.view()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.view.Processes, l.view.CPU, l.view.Drops = processes, cpu, l.usage.drops
	}()
	timer := time.NewTimer(sampleTime)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	}
}

// hear works an event in.
func (l *link) hear(e control.Event) {
	if e.Now != nil {
		l.restate(e.Now)
	}
	c := cleanEvent(l.path, e, time.Now())
	l.mu.Lock()
	l.history.hear(c)
	l.view.Counts.hear(c)
	l.mu.Unlock()
	l.Collector.hear(c)
	set(l.stir)
}

// disconnected notes that the session is over.
func (l *link) disconnected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connected = false
}

// down notes that the superdaemon does not answer.
func (l *link) down(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.view.Up {
		l.view.Since.Time = time.Now()
	}
	l.view.Up, l.view.Asked, l.view.Why = false, true, clean(err.Error())
	l.publish()
}

// gone returns for how long the superdaemon has not answered, if no file is at its path; 0 if it
// answers, or if the file is there.
func (l *link) gone() time.Duration {
	if _, err := os.Lstat(l.path); !os.IsNotExist(err) {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.view.Up || !l.view.Asked {
		return 0
	}
	return time.Since(l.view.Since.Time)
}

// wanted asks for a status that is not older than age, and returns a channel that is closed when it
// is there; nil if there is nothing to wait for.
func (l *link) wanted(age time.Duration) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.connected || time.Since(l.view.Seen.Time) < age {
		return nil
	}
	set(l.kick)
	if l.late {
		return nil
	}
	return l.next
}

// isLate notes that the superdaemon is late: readers do not wait for it until it answers.
func (l *link) isLate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = true
}

// look returns a copy of what is known.
func (l *link) look() View {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.copied()
}

func (l *link) copied() View {
	v := l.view
	v.Generations, v.Counts = l.history.view(), l.view.Counts.copied()
	return v
}

// publish tells the observer, if there is news for it. The caller holds mu.
func (l *link) publish() {
	if !l.Watched() {
		l.signature = ""
		return
	}
	v := l.copied()
	if s := signature(v); s != l.signature {
		l.signature = s
		l.Observer.Changed(v)
	}
}

// name is the path for a log line.
func (l *link) name() string { return text.Quoted(l.path) }
