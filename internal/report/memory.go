package report

import (
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Memory gives back to the system, once a restart is over, what that took: the superdaemon
// then rests for days, and the runtime by itself keeps several times as much as it needs.
type Memory struct {
	Give func() // debug.FreeOSMemory, which takes about a millisecond

	used  bool        // something was started since
	timer *time.Timer // nil: nothing was given back yet
}

// memoryDelay is from the end of a restart until then, for another one to come first.
const memoryDelay = time.Second

// Hear notes that something was started, and gives memory back in a moment if all that was
// started serves, and nothing else is there.
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
