package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

const (
	// spawnTime is how long a spawn may take, from its turn until the program is executed.
	// It takes a millisecond, unless a file system hangs or the process was stopped: the
	// workers' user may do that as soon as the process runs as that user.
	spawnTime = 10 * time.Second
	hurryTime = time.Second // what is left of spawnTime when a stop begins
	overtime  = time.Second // for a process that was killed after spawnTime to be gone
	// turns is how many spawns are under way at once, those included that were given up and
	// still hang. Each blocks a thread.
	turns = 4
	// lookTime is how long a generation that begins waits for the log. It takes no time, or
	// output.FlushTime if the log takes nothing, unless the log's file system hangs.
	lookTime = output.FlushTime + time.Second
)

var (
	errHurry = errors.New("not running yet when the stop came")
	errStuck = fmt.Errorf("%d workers still hang before their program runs: no other is started until one of them goes on", turns)
)

// bounds keeps spawns that hang from holding up anything else. The zero value is ready.
type bounds struct {
	once    sync.Once
	turns   chan struct{} // holds a token for each spawn under way
	looks   chan struct{} // holds a token while look's do runs
	hurried chan struct{} // when it is closed no other spawn begins
	mu      sync.Mutex    // guards hanging and stuck
	hanging int           // spawns that were given up, and hold a token
	stuck   chan struct{} // closed while those hold all tokens
	all     context.Context
	cancel  context.CancelCauseFunc
	hurry   sync.Once
}

func (b *bounds) init() {
	b.once.Do(func() {
		b.turns, b.looks, b.hurried, b.stuck = make(chan struct{}, turns), make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		b.all, b.cancel = context.WithCancelCause(context.Background())
	})
}

// Hurry makes spawns that wait for their turn fail at once. Those under way end within
// two seconds. It does not block.
func (s *Spawner) Hurry() {
	b := &s.bounds
	b.init()
	b.hurry.Do(func() {
		close(b.hurried)
		time.AfterFunc(hurryTime, func() { b.cancel(errHurry) })
	})
}

// spawned is how a spawn went.
type spawned struct {
	process  *proc.Process
	settings supervise.Settings
	err      error
}

// run runs a spawn when it is its turn, and returns its result. When its time is over, run
// returns an error; a process that is started later is killed. Spawns that hang keep their
// turns: when they have all of them, run returns an error at once.
func (b *bounds) run(do func(context.Context) spawned) spawned {
	b.init()
	b.mu.Lock()
	stuck := b.stuck
	b.mu.Unlock()
	err := errStuck
	select {
	case <-b.hurried:
	case <-stuck:
	case b.turns <- struct{}{}:
		err = nil
	}
	select {
	case <-b.hurried: // several cases above may have been ready
		return spawned{err: errHurry} // no other spawn needs the turn
	default:
	}
	if err != nil {
		return spawned{err: err}
	}
	late := fmt.Errorf("not executed within %v", spawnTime)
	ctx, done := context.WithTimeoutCause(b.all, spawnTime, late)
	defer done()
	result := make(chan spawned, 1)
	go func() { result <- do(ctx) }()
	select {
	case r := <-result:
		<-b.turns
		return r
	case <-ctx.Done():
	}
	select { // what was killed should be gone any moment
	case r := <-result:
		<-b.turns
		return r
	case <-time.After(overtime):
	}
	b.giveUp(result)
	return spawned{err: fmt.Errorf("a worker was %w; it is not waited for any longer", context.Cause(ctx))}
}

// look runs do, and returns when it is over, or its time is, or Hurry is called. A do that hangs
// goes on: until it is over another one is left out, as each blocks a thread.
func (b *bounds) look(do func()) {
	b.init()
	select {
	case b.looks <- struct{}{}:
	default:
		return
	}
	over := make(chan struct{})
	go func() {
		do()
		<-b.looks
		close(over)
	}()
	select {
	case <-over:
	case <-b.hurried:
	case <-time.After(lookTime):
	}
}

// giveUp lets a spawn go on that hangs. It keeps its turn until its result comes.
func (b *bounds) giveUp(result <-chan spawned) {
	b.mu.Lock()
	if b.hanging++; b.hanging == turns {
		close(b.stuck)
	}
	b.mu.Unlock()
	go func() {
		if r := <-result; r.process != nil {
			_ = r.process.Signal(os.Kill)
			r.process.Wait()
		}
		b.mu.Lock()
		if b.hanging == turns {
			b.stuck = make(chan struct{})
		}
		b.hanging--
		b.mu.Unlock()
		<-b.turns
	}()
}
