package control

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSlowRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		began := time.Now()
		c := joins(t, s, 5)
		broken := make(chan struct{})
		go func() { // a byte now and then
			defer close(broken)
			for {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte(" ")); err != nil {
					return
				}
			}
		}()
		assert.Equal(t, "a request has not come whole in 10s", c.hear()["error"])
		assert.Equal(t, 11*time.Second, time.Since(began), "counted from the first byte")
		c.ended()
		<-broken
		assert.Equal(t, []string{"process 5: a request has not come whole in 10s, and 0 more"}, refused.all())
	})
}

func TestIdleClient(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		c := joins(t, s, 5)
		for range 3 {
			time.Sleep(idleTime - time.Second)
			assert.Equal(t, true, c.asks("x")["ok"])
		}
		began := time.Now()
		assert.Equal(t, "nothing was asked for in 5m0s", c.hear()["error"])
		assert.Equal(t, idleTime, time.Since(began))
		c.ended()
		assert.Empty(t, refused.all(), "that is no offence")
	})
}

func TestSubscriberNeedNotAskAnything(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		c := joins(t, s, 5)
		c.asks("subscribe")
		time.Sleep(24 * time.Hour)
		s.Publish(Event{Event: "live"})
		assert.Equal(t, "live", c.hear()["event"])
		c.Close()
		synctest.Wait()
		assert.Zero(t, s.connected(), "that it has gone is seen without an event")
	})
}

// hooked is a connection that calls writing before something is written.
type hooked struct {
	net.Conn
	writing func()
}

func (h hooked) SetWriteDeadline(t time.Time) error {
	h.writing()
	return h.Conn.SetWriteDeadline(t)
}

// The answer to the subscription is the first line, whatever happens meanwhile.
func TestSubscriptionIsAnsweredBeforeTheFirstEvent(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		ours, theirs := net.Pipe()
		meanwhile := sync.OnceFunc(func() {
			s.Publish(Event{Event: "live"})
			synctest.Wait()
		})
		s.serve(hooked{theirs, meanwhile}, Peer{Pid: 5}, &HeldClient{})
		c := &piped{t, ours, bufio.NewReader(ours)}
		assert.Equal(t, true, c.asks("subscribe")["ok"])
		assert.Equal(t, "live", c.hear()["event"])
	})
}

// Nothing is read from a client that does not read its answers. So no more than one
// answer waits for it.
func TestAnswersThatNobodyReads(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		c := joins(t, s, 5)
		began := time.Now()
		done := 0
		for ; ; done++ {
			_ = c.SetWriteDeadline(time.Now().Add(time.Hour))
			if _, err := c.Write([]byte(`{"command":"big"}` + "\n")); err != nil {
				break
			}
		}
		assert.LessOrEqual(t, done, 1)
		assert.Equal(t, writeTime, time.Since(began))
		assert.Equal(t, []string{"process 5 does not read what it asked for, and 0 more"}, refused.all())
	})
}

func TestCloseWithClientsThatDoNotRead(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		asks, watches, half := joins(t, s, 5), joins(t, s, 6), joins(t, s, 7)
		asks.say(`{"command":"big"}` + "\n")
		watches.asks("subscribe")
		for range maxEvents {
			s.Publish(Event{Event: "live"})
		}
		half.say("{")
		synctest.Wait()
		began := time.Now()
		s.disconnect()
		assert.Equal(t, finishTime, time.Since(began))
	})
}

func TestCloseWithNobodyBusy(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		idle, half := joins(t, s, 5), joins(t, s, 7)
		idle.asks("x")
		half.say("{")
		began := time.Now()
		s.disconnect()
		assert.Zero(t, time.Since(began))
		idle.ended()
		half.ended()
		assert.Empty(t, refused.all())

		ours, theirs := net.Pipe()
		go s.serve(theirs, Peer{Pid: 9}, &HeldClient{})
		text, _ := io.ReadAll(ours)
		assert.Contains(t, string(text), "start_server is ending", "who comes too late")
	})
}

func TestRefusalsAreToldOnceInAMinute(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		for i := range 1000 {
			s.refusals.add(fmt.Sprint("reason ", i))
		}
		time.Sleep(refusedPause)
		s.refusals.add("another")
		s.refusals.add("and one more")
		time.Sleep(2 * refusedPause)
		s.refusals.add("the last")
		assert.Equal(t, []string{"reason 0, and 0 more", "another, and 999 more", "the last, and 1 more"}, refused.all())
	})
}
