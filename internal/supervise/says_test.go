package supervise

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// When a worker sends STATUS lines without end, a few in a second are told. The last one is
// always told.
func TestFloodOfStatusLines(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		p := w.worker(1, 0)
		w.ready(p)
		for i := range 10000 {
			said := strconv.Itoa(i)
			w.sup.Notify(w.t.Context(), Notice{Pids: []int{p.Pid()}, Status: &said})
			time.Sleep(100 * time.Microsecond)
		}
		w.sleep(statusPause)
		synctest.Wait()
		told := seen[Noticed](w)
		assert.LessOrEqual(t, len(told), 12)
		assert.GreaterOrEqual(t, len(told), 8)
		assert.Equal(t, "9999", told[len(told)-1].Status)
		w.sleep(time.Hour)
		assert.Len(t, seen[Noticed](w), len(told))
	})
}
