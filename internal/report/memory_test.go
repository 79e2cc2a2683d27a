package report

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

func TestMemoryIsGivenBackWhenARestartIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		given := 0
		m := &Memory{Give: func() { given++ }}
		after := func(want int, tally supervise.Tally, events ...supervise.Event) {
			t.Helper()
			for _, e := range events {
				m.Hear(e)
			}
			m.Hear(tally)
			<-time.After(2 * memoryDelay)
			synctest.Wait()
			assert.Equal(t, want, given)
		}
		rests := supervise.Tally{Generation: 1, Serving: 1}
		after(0, rests, supervise.Started{Worker: supervise.Worker{Generation: 1}})
		started := supervise.Started{Worker: supervise.Worker{Generation: 2}}
		after(0, supervise.Tally{Generation: 1, Serving: 1, Starting: 2}, started)
		after(0, supervise.Tally{Generation: 2, Serving: 1, Draining: 1})
		after(1, supervise.Tally{Generation: 2, Serving: 1})
		after(1, supervise.Tally{Generation: 2, Serving: 1})
		m.Hear(started)
		m.Hear(rests)
		after(1, supervise.Tally{Generation: 2, Serving: 1, Starting: 3}) // another one comes first
		after(2, rests, started)
	})
}
