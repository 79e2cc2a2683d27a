package report

import (
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Memory gives the memory that a restart took back to the system when it is over. The
// superdaemon then rests for days, and the runtime would keep several times what it needs.
type Memory struct {
	Give func() // debug.FreeOSMemory, which takes about a millisecond

	used  bool        // something was started since memory was given back
	timer *time.Timer // nil: nothing was given back yet
}

// memoryDelay is the time after a restart in which another one may still come first.
const memoryDelay = time.Second

// Hear notes that something was started. It gives memory back after memoryDelay when
// workers serve, no generation is starting, and no worker drains.
func (m *Memory) Hear(e supervise.Event) {
	switch e := e.(type) {
	case supervise.Started:
		m.used = m.used || e.Generation > 1
	case supervise.Tally:
		m.settled(e)
	}
}

func (m *Memory) settled(t supervise.Tally) {
	switch busy := t.Starting != 0 || t.Draining != 0 || t.Serving == 0; {
	case busy && m.timer != nil && m.timer.Stop():
		m.used = true // it was not given back yet
	case !busy && m.used:
		m.used = false
		m.timer = time.AfterFunc(memoryDelay, m.Give)
	}
}
