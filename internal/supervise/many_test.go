package supervise

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A worker that dies is replaced at once, however many others there are. When many die one
// after the other each is replaced soon. But the loop does not look at all workers for each
// one that dies: with thousands that would take seconds.
func TestOneOfManyAndMany(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		workers int
		late    time.Duration // how late a successor is at most; one is nearly as late
		settles int           // at most; without rests there is one for each exit, and one for each start
	}{
		{many - 1, 0, 180},
		{many, many * restPerWorker, int(9*time.Millisecond/(many*restPerWorker)) + 2}, // they die within 9 ms
		{4000, maxRest, 3},
	} {
		t.Run(fmt.Sprint(c.workers), func(t *testing.T) {
			t.Parallel()
			simulate(t, Config{Workers: c.workers, Interval: time.Second}, nil, func(w *world) {
				w.sleep(time.Minute)
				first := w.alive()[0]
				w.exit(first, 1)
				w.sleep(0)
				assert.Len(t, w.alive(), c.workers, "a lone one is replaced at once")

				w.sleep(time.Minute)
				before, ended := w.tallies, map[int]time.Time{}
				for _, p := range w.alive()[:90] {
					ended[p.id.Slot] = time.Now()
					w.exit(p, 1)
					w.sleep(100 * time.Microsecond)
				}
				w.sleep(c.late)
				settles := w.tallies - before
				var latest time.Duration
				for slot, at := range ended {
					spawns := w.spawns[slot]
					waited := spawns[len(spawns)-1].Sub(at)
					assert.GreaterOrEqual(t, waited, time.Duration(0), "all have successors")
					latest = max(latest, waited)
				}
				w.sleep(c.late)
				w.checkServing()
				assert.LessOrEqual(t, latest, c.late)
				assert.GreaterOrEqual(t, latest, c.late*4/5)
				assert.LessOrEqual(t, settles, c.settles)
			})
		})
	}
}
