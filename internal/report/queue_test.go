package report

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

// For a manager that does not read, messages that come again are left out: the watchdog, and
// the status unless a notice is sent anyway.
func TestWhatIsLeftOutWhenTooManyMessagesWait(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		waiting int32
		notice  bool
		then    []string
	}{
		{0, false, []string{"WATCHDOG=1", "STATUS=generation 1: 1 worker serves"}},
		{maxWaiting - 2, false, []string{"WATCHDOG=1", "STATUS=generation 1: 1 worker serves"}},
		{maxWaiting - 1, false, []string{"WATCHDOG=1"}},
		{maxWaiting, false, nil},
		{maxWaiting, true, []string{"READY=1 STATUS=generation 1: 1 worker serves"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			u := &unit{t: t}
			u.manager = NewManager(nil, func() {})
			u.manager.send, u.manager.watch, u.manager.unit = u.hear, time.Second, unitRuns
			u.manager.waiting.Store(row.waiting)
			if row.notice {
				u.manager.notices = []string{"READY=1"}
			}
			u.manager.queue.Add(func() { time.Sleep(time.Millisecond) }) // so that all of them wait
			u.manager.Hear(supervise.Tally{Generation: 1, Serving: 1})
			u.manager.timer.Stop()
			u.hears(time.Millisecond, row.then...)
			assert.Equal(t, row.waiting, u.manager.waiting.Load(), "none is left")
		})
	}
}
