package control

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A subscriber that does not read delays no other client. When it reads again it gets the events
// that there was room for, then how things stand, and then what comes after that.
func TestEventsThatNobodyReads(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		s.Picture = func() *Status { return &Status{Pid: 7, Generation: 4000} }
		slow, reads := joins(t, s, 5), joins(t, s, 6)
		slow.asks("subscribe")
		reads.asks("subscribe")
		began := time.Now()
		for i := range 3 * maxEvents {
			s.Publish(Event{Event: "live", Generation: i + 1})
			assert.Equal(t, float64(i+1), reads.hear()["generation"])
		}
		synctest.Wait()
		assert.Zero(t, time.Since(began), "nothing waits for it")
		e, before := slow.until("missed")
		assert.Equal(t, maxEvents+1, before, "and one that was being written")
		assert.Equal(t, 4000.0, e["now"].(map[string]any)["generation"])
		s.Publish(Event{Event: "live", Generation: 5})
		assert.Equal(t, 5.0, slow.hear()["generation"])
		slow.say(`{"command":"x"}` + "\n")
		assert.Equal(t, true, slow.hear()["ok"])
		assert.Empty(t, refused.all())
	})
}

// So does one whose events are too long for the room,
func TestLongEventsThatNobodyReads(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		s.Picture = func() *Status { return &Status{} }
		c := joins(t, s, 5)
		c.asks("subscribe")
		for range 9 {
			s.Publish(Event{Event: "says", Says: strings.Repeat("x", 1<<20)})
			synctest.Wait()
		}
		_, before := c.until("missed")
		assert.Equal(t, maxUnread>>20-1, before)
	})
}

// and an answer comes after the "missed" event.
func TestAnswerAfterMissedEvents(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		s.Picture = func() *Status { return &Status{} }
		c := joins(t, s, 5)
		c.asks("subscribe")
		for range 3 * maxEvents {
			s.Publish(Event{Event: "live"})
		}
		synctest.Wait()
		c.say(`{"command":"x"}` + "\n")
		for missed := false; ; {
			m := c.hear()
			missed = missed || m["event"] == "missed"
			if m["ok"] == true {
				assert.True(t, missed)
				break
			}
		}
	})
}

// If the superdaemon is ending, a subscriber that is behind is disconnected: it cannot be told how
// things stand.
func TestMissedEventsAtTheEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		s.Picture = func() *Status { return nil }
		c := joins(t, s, 5)
		c.asks("subscribe")
		for range 3 * maxEvents {
			s.Publish(Event{Event: "live"})
		}
		go io.Copy(io.Discard, c.in)
		synctest.Wait()
		assert.Zero(t, s.connected())
	})
}

// A client that does not read a line in time is disconnected.
func TestEventThatNobodyReads(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		c := joins(t, s, 5)
		c.asks("subscribe")
		began := time.Now()
		s.Publish(Event{Event: "live"})
		synctest.Wait()
		time.Sleep(writeTime - time.Second)
		assert.Equal(t, 1, s.connected())
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Zero(t, s.connected())
		assert.Equal(t, writeTime, time.Since(began))
	})
}

// The loop does not wait even if no event can be delivered.
func TestPublishDoesNotWait(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		s.Picture = func() *Status { return &Status{} }
		c := joins(t, s, 5)
		c.asks("subscribe")
		s.mu.Lock() // so that delivery stands still
		for range 3 * maxEvents {
			s.Publish(Event{Event: "live"})
		}
		s.mu.Unlock()
		synctest.Wait()
		c.until("missed")
		assert.Equal(t, 1, s.connected())
	})
}
