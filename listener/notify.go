package listener

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// notifyTimeout bounds the wait for a superdaemon that does not read.
	notifyTimeout = 5 * time.Second

	// statusPause is the least time between two STATUS lines.
	statusPause = time.Second
)

// notify sends what to the unix datagram socket that NOTIFY_SOCKET names, if it is set.
func notify(text, what string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", name)
	if err != nil {
		return fmt.Errorf("cannot say %s to NOTIFY_SOCKET %s: %w", what, name, err)
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(notifyTimeout))
	if _, err := conn.Write([]byte(text)); err != nil {
		return fmt.Errorf("cannot say %s to NOTIFY_SOCKET %s: %w", what, name, err)
	}
	return nil
}

// program is all the servers of a process. The superdaemon is told of them as of one.
type program struct {
	notify   func(text, what string) error
	notified func() bool // whether notices have a receiver

	mu      sync.Mutex
	servers map[*drainer]*member
	watched context.Context // ends when the last server leaves; nil: no watchdog runs
	unwatch context.CancelFunc
	tells   chan struct{} // closed when the last server leaves; nil: not all drain
	told    chan struct{} // closed when tell has ended
}

// member says what a server has begun to do.
type member struct{ accepts, drains bool }

// this is the program of this process.
var this = &program{notify: notify, notified: func() bool { return os.Getenv("NOTIFY_SOCKET") != "" }}

func (p *program) join(d *drainer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.servers == nil {
		p.servers = map[*drainer]*member{}
	}
	p.servers[d] = &member{}
}

// accepts is called when a server begins to accept on the last of its listeners. If the
// notice cannot be sent it serves nevertheless: the superdaemon acts when none comes.
func (p *program) accepts(d *drainer) {
	if err := p.notify("READY=1", "ready"); err != nil {
		d.logf("listener: %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers[d].accepts = true
	if p.watched != nil || !p.notified() {
		return
	}
	every, err := watchdogPause()
	if err != nil {
		d.logf("listener: no watchdog: %v", err)
	}
	if every > 0 {
		p.watched, p.unwatch = context.WithCancel(context.Background())
		go p.watch(p.watched, every)
	}
}

// drains is called when a server begins to drain. The superdaemon is told when all servers
// drain, unless none of them has ever accepted.
func (p *program) drains(d *drainer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers[d].drains = true
	accepted := false
	for _, m := range p.servers {
		if !m.drains {
			return
		}
		accepted = accepted || m.accepts
	}
	if accepted && p.tells == nil && p.notified() {
		p.tells, p.told = make(chan struct{}), make(chan struct{})
		go p.tell(d, p.tells, p.told)
	}
}

// leave is called when a server has drained, or cannot serve. After the last one has left
// nothing more is sent, except a WATCHDOG=1 that is on its way.
func (p *program) leave(d *drainer) {
	p.mu.Lock()
	delete(p.servers, d)
	var told chan struct{}
	if len(p.servers) == 0 {
		if p.watched != nil {
			p.unwatch()
			p.watched = nil
		}
		if p.tells != nil {
			close(p.tells)
			told, p.tells = p.told, nil
		}
	}
	p.mu.Unlock()
	if told != nil {
		<-told
	}
}

// tell tells how the drain goes, until end is closed, and then closes told.
func (p *program) tell(d *drainer, end <-chan struct{}, told chan<- struct{}) {
	defer close(told)
	tick := time.NewTicker(statusPause)
	defer tick.Stop()
	said := ""
	for begin := "STOPPING=1\n"; ; begin = "" {
		if status := p.tally().String(); status != said {
			said = status
			if err := p.notify(begin+"STATUS=draining, "+status, "how the drain goes"); err != nil {
				d.logf("listener: %v", err)
				return
			}
		}
		select {
		case <-tick.C:
		case <-end:
			return
		}
	}
}

// tally is what all servers together have left to drain.
func (p *program) tally() tally {
	var sum tally
	for d := range p.members() {
		sum = sum.plus(d.tally())
	}
	return sum
}

// members returns a copy, so that p.mu is not held while servers are called.
func (p *program) members() map[*drainer]member {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[*drainer]member, len(p.servers))
	for d, m := range p.servers {
		all[d] = *m
	}
	return all
}
