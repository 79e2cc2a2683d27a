package supervise

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A repeated request for a stop tells when the stop is over at the latest.
func TestAStopAskedForAgainTellsWhenKILLFollows(t *testing.T) {
	simulate(t, Config{Workers: 2, KillTimeout: 10 * time.Second}, nil, func(w *world) {
		w.sleep(time.Second)
		w.stop()
		w.sleep(3 * time.Second)
		w.stop()
		asked := seen[StopAsked](w)
		assert.Zero(t, asked[0].Kill)
		assert.Equal(t, 7*time.Second, asked[1].Kill)
	})
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		w.stop()
		w.sleep(3 * time.Second)
		w.stop()
		assert.Zero(t, seen[StopAsked](w)[1].Kill, "never")
	})
}
