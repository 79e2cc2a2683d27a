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
	// It takes a millisecond, unless a file system hangs, or somebody has stopped the
	// process: the workers' user may, from the moment that it is that user's.
	spawnTime = 10 * time.Second
	hurryTime = time.Second // what is left of that when everything is to stop
	overtime  = time.Second // until a process that was killed for it is gone
	// turns is how many spawns are under way at once. Each blocks a thread.
	turns = 4
)

var errHurry = errors.New("it was not running yet when the stop came")

// bounds keeps spawns that hang from holding anybody up. The zero value is ready.
type bounds struct {
	once    sync.Once
	turns   chan struct{} // holds a token for each spawn under way
	hurried chan struct{} // closed: no other spawn begins
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

// Hurry has spawns that wait for their turn fail at once, and those that are under way
// within two seconds. It does not block.
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

// run runs a spawn when it is its turn, and returns what comes of it or, when its time is
// over, that nothing has. What comes of it later is killed.
func (b *bounds) run(do func(context.Context) spawned) spawned {
	b.init()
	select {
	case <-b.hurried:
	case b.turns <- struct{}{}:
		defer func() { <-b.turns }()
	}
	select {
	case <-b.hurried: // it may be both
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
