package command

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

// house is a superdaemon of made-up workers in a synctest bubble, and the commands that
// are asked of it. Its workers have the pids 101, 102 and so on in slot 0 of generation
// 1, 111, 112 and so on in slot 1, and from 201 on in generation 2.
type house struct {
	began time.Time
	c     *Commands
	ended chan error

	mu       sync.Mutex
	procs    map[int]*madeUp // by pid
	events   []supervise.Event
	broken   error         // workers cannot be started
	dies     time.Duration // new workers die after so long; 0: they do not
	begins   time.Duration // how long a generation takes to begin
	stubborn bool          // workers do not go when they are told to
	tails    []int         // the generations whose log was asked for
}

type madeUp struct {
	h       *house
	pid     int
	exit    chan int
	signals []os.Signal
}

func (p *madeUp) Pid() int { return p.pid }

func (p *madeUp) Ended() bool { return false }

func (p *madeUp) Wait() int { return <-p.exit }

func (p *madeUp) Signal(sig os.Signal) error {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	p.signals = append(p.signals, sig)
	if !p.h.stubborn && sig != syscall.SIGHUP { // all of them ignore HUP
		p.end(int(syscall.SIGTERM))
	}
	return nil
}

func (p *madeUp) end(status int) {
	select {
	case p.exit <- status:
	default: // it has ended
	}
}

func (h *house) Begin(int) error {
	time.Sleep(h.begins)
	return nil
}

func (h *house) Spawn(generation, slot, _ int) (supervise.Process, supervise.Settings, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != nil {
		return nil, supervise.Settings{}, h.broken
	}
	pid := 100*generation + 10*slot + 1
	for h.procs[pid] != nil {
		pid++
	}
	p := &madeUp{h: h, pid: pid, exit: make(chan int, 1)}
	h.procs[pid] = p
	if h.dies > 0 {
		time.AfterFunc(h.dies, func() { p.end(1 << 8) })
	}
	return p, supervise.Settings{KillOldDelay: 10 * time.Second}, nil
}

func (h *house) Hear(e supervise.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// set changes what the workers do.
func (h *house) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// signals are what a worker has been sent.
func (h *house) signals(pid int) []os.Signal {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.procs[pid].signals
}

// exit ends a worker.
func (h *house) exit(pid, status int) {
	h.procs[pid].end(status)
	synctest.Wait()
}

// passes lets time pass.
func (h *house) passes(d time.Duration) {
	time.Sleep(d) // in the bubble
	synctest.Wait()
}

// live runs what in a bubble in which a superdaemon has run for a minute. Then it stops the
// superdaemon.
func live(t *testing.T, config supervise.Config, prepare func(*house), what func(*house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{began: time.Now(), ended: make(chan error, 1), procs: map[int]*madeUp{}}
		config.Spawner, config.Observers = h, []supervise.Observer{h}
		config.RetireSignal, config.AbortSignal, config.Interval = syscall.SIGTERM, syscall.SIGTERM, time.Second
		h.c = &Commands{
			Name: "start_server", Version: "1.2.3",
			StopSignal: syscall.SIGTERM, RetireSignal: syscall.SIGQUIT, Resizable: true,
			Sockets: func() []control.Socket { return []control.Socket{{Name: "8080", Network: "tcp", FD: 3}} },
			Written: func() {},
			Image:   func() (time.Time, int) { return h.began, 3 },
			Tail: func(generation int) []string {
				h.tails = append(h.tails, generation)
				return []string{"its last", "words"}
			},
		}
		if prepare != nil {
			prepare(h)
		}
		h.c.Sup = supervise.New(config)
		go func() { h.ended <- h.c.Sup.Run(context.Background(), syscall.SIGTERM) }()
		h.passes(time.Minute)
		what(h)
		h.set(func() { h.stubborn = false })
		h.c.Sup.Stop(context.Background(), "the end", syscall.SIGTERM, 0)
		h.passes(time.Hour)
		for _, p := range h.procs {
			p.end(0)
		}
		h.ended <- <-h.ended
	})
}

// operator is a peer that may do everything.
var operator = control.Peer{Pid: 4711}

// ask asks for a command without parameters.
func (h *house) ask(name string) control.Answer { return h.request(control.Request{Command: name}) }

func (h *house) request(r control.Request) control.Answer {
	a := h.c.Do(operator, r)
	synctest.Wait()
	return a
}

// self is how the superdaemon introduces itself.
func self() string { return fmt.Sprintf("start_server (pid:%d)", os.Getpid()) }

// refused checks that an answer says only why the request was refused.
func refused(t *testing.T, why string, a control.Answer) {
	t.Helper()
	assert.Equal(t, control.Answer{Error: why}, a)
}

// heard are the events of a type so far.
func heard[E supervise.Event](h *house) []E {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	var es []E
	for _, e := range h.events {
		if e, ok := e.(E); ok {
			es = append(es, e)
		}
	}
	return es
}
