package collect

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A client that asks before the first look is answered after it. If the first look takes too long,
// the answer is that nothing was looked for.
func TestRefreshWaitsForTheFirstLook(t *testing.T) {
	t.Parallel()
	pattern := filepath.Join(t.TempDir(), "*.ctl")
	for late, found := range map[time.Duration][]Found{
		askTime / 2: {{Pattern: pattern}},
		askTime * 2: nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := New(Config{Patterns: []string{pattern}, Rescan: time.Hour, Log: func(string, ...any) {}})
			time.AfterFunc(late, func() {
				c.scan(func(*link) {})
				close(c.scanned)
			})
			c.Refresh(t.Context())
			assert.Equal(t, found, c.Found(), "after %v", late)
			time.Sleep(late) // until the first look is over
		})
	}
}

// A new client gets as many events as docs/monitor.md says. One that connects again gets all that it
// has missed.
func TestRecentEventsAreTheLastOnes(t *testing.T) {
	t.Parallel()
	c := New(Config{})
	for range 2*maxRecent - 1 {
		c.hear(Event{Event: "says"})
	}
	all := c.Recent(0)
	assert.Equal(t, maxRecent, len(all))
	assert.Equal(t, uint64(2*maxRecent-1), all[len(all)-1].Seq)
	assert.Equal(t, 2*maxRecent-1-50, len(c.Recent(50)))
}
