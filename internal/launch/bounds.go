package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

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
	// turns is how many spawns are under way at once. Each blocks a thread.
	turns = 4
)

var errHurry = errors.New("it was not running yet when the stop came")

// bounds keeps spawns that hang from holding up anything else. The zero value is ready.
type bounds struct {
	once    sync.Once
	turns   chan struct{} // holds a token for each spawn under way
	hurried chan struct{} // when it is closed no other spawn begins
	all     context.Context
	cancel  context.CancelCauseFunc
	hurry   sync.Once
}

func (b *bounds) init() {
	b.once.Do(func() {
		b.turns, b.hurried = make(chan struct{}, turns), make(chan struct{})
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
// returns an error; a process that is started later is killed.
func (b *bounds) run(do func(context.Context) spawned) spawned {
	b.init()
	select {
	case <-b.hurried:
	case b.turns <- struct{}{}:
		defer func() { <-b.turns }()
	}
	select {
	case <-b.hurried: // both cases above may have been ready
		return spawned{err: errHurry}
	default:
	}
	late := fmt.Errorf("not executed within %v", spawnTime)
	ctx, done := context.WithTimeoutCause(b.all, spawnTime, late)
	defer done()
	result := make(chan spawned, 1)
	go func() { result <- do(ctx) }()
	select {
	case r := <-result:
		return r
	case <-ctx.Done():
	}
	select { // what was killed should be gone any moment
	case r := <-result:
		return r
	case <-time.After(overtime):
	}
	go func() {
		if r := <-result; r.process != nil {
			_ = r.process.Signal(os.Kill)
			r.process.Wait()
		}
	}()
	return spawned{err: fmt.Errorf("a worker was %w; it is not waited for any longer", context.Cause(ctx))}
}
