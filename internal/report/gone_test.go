package report

import (
	"testing"
	"testing/synctest"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

func TestGoneIsCalledOnceWhenNothingOldServes(t *testing.T) {
	t.Parallel()
	of := func(generations ...int) supervise.Event {
		var workers []supervise.Worker
		for _, n := range generations {
			workers = append(workers, supervise.Worker{Generation: n})
		}
		return supervise.Serving{Workers: workers}
	}
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		g := &Gone{}
		g.Hear(of(9)) // nobody wants to know
		g.After(2, func() { calls++ })
		for _, row := range []struct {
			event supervise.Event
			calls int
		}{
			{of(), 0}, {of(1, 2), 0}, {supervise.Died{}, 0}, {of(2, 3), 0}, {of(3), 1}, {of(3, 4), 1},
		} {
			g.Hear(row.event)
			synctest.Wait()
			assert.Equal(t, row.calls, calls, "%v", row.event)
		}
	})
}
