package report

import (
	"testing"
	"testing/synctest"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

func TestFirstIsCalledOnceAndForItsEventOnly(t *testing.T) {
	t.Parallel()
	start, serving := supervise.Started{}, supervise.Serving{Workers: make([]supervise.Worker, 1)}
	for _, c := range []struct {
		is     func(supervise.Event) bool
		events []supervise.Event
		calls  int
	}{
		{IsStart, []supervise.Event{serving, supervise.Died{}}, 0},
		{IsStart, []supervise.Event{start, start}, 1},
		{IsServing, []supervise.Event{start, supervise.Serving{}}, 0},
		{IsServing, []supervise.Event{supervise.Serving{}, serving, serving}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			f := First{Is: c.is, Do: func() { calls++ }}
			for _, e := range c.events {
				f.Hear(e)
			}
			synctest.Wait()
			assert.Equal(t, c.calls, calls)
		})
	}
}
