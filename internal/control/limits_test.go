package control

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests run in a bubble, where hours pass in no time. What stands for a
// socket is net.Pipe, which has no buffer: who does not read is noticed at once.

// inBubble runs a test with a server that nobody but the test connects to, and
// checks that nothing is left of it in the end.
func inBubble(t *testing.T, do func(s *Server, refused *told)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		refused := &told{}
		s := newServer(Config{Do: echo, Refused: refused.refused})
		do(s, refused)
		if !s.isClosed() {
			s.disconnect()
		}
		synctest.Wait()
		assert.Zero(t, s.connected())
		assert.Zero(t, s.watched.Load())
	})
}

// piped is a client by a pipe.
type piped struct {
	*testing.T
	net.Conn
	in *bufio.Reader
}

// joins connects a client of a process.
func joins(t *testing.T, s *Server, pid int) *piped {
	t.Helper()
	ours, theirs := net.Pipe()
	s.serve(theirs, Peer{Pid: pid})
	return &piped{t, ours, bufio.NewReader(ours)}
}

func (p *piped) say(text string) {
	p.Helper()
	_, err := p.Write([]byte(text))
	require.NoError(p, err)
}

func (p *piped) hear() map[string]any {
	p.Helper()
	line, err := p.in.ReadBytes('\n')
	require.NoError(p, err)
	var a map[string]any
	require.NoError(p, json.Unmarshal(line, &a))
	return a
}

func (p *piped) asks(command string) map[string]any {
	p.Helper()
	p.say(`{"command":"` + command + `"}` + "\n")
	return p.hear()
}

// ended checks that the server has hung up.
func (p *piped) ended() {
	p.Helper()
	_, err := p.in.ReadByte()
	assert.ErrorIs(p, err, io.EOF)
}

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

// hooked is a connection that tells when something is about to be written.
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
		s.serve(hooked{theirs, meanwhile}, Peer{Pid: 5})
		c := &piped{t, ours, bufio.NewReader(ours)}
		assert.Equal(t, true, c.asks("subscribe")["ok"])
		assert.Equal(t, "live", c.hear()["event"])
	})
}

// Nothing is read of a client that does not read: it is not asked for more, and
// what its answers take is one of them.
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

// until reads events until one is of that kind, and returns how many came before.
func (p *piped) until(kind string) (e map[string]any, before int) {
	p.Helper()
	for {
		if e = p.hear(); e["event"] == kind {
			return e, before
		}
		before++
	}
}

// A subscriber that does not read is in nobody's way. When it reads again it gets what it
// has room for, then how things stand, and then what comes after that.
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

// So does one for which the events are too long,
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

// and an answer comes after what tells of the missed events.
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

// One that is never told how things stand, as all is ending, is disconnected.
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

// Who does not take a line in time is disconnected.
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

// The loop does not wait even if nobody has time to deliver.
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
		go s.serve(theirs, Peer{Pid: 9})
		text, _ := io.ReadAll(ours)
		assert.Contains(t, string(text), "start_server is ending", "who comes too late")
	})
}

// many connects n clients of as many processes, from pid on.
func many(t *testing.T, s *Server, pid, n int) []*piped {
	t.Helper()
	var all []*piped
	for i := range n {
		all = append(all, joins(t, s, pid+i))
	}
	return all
}

// hears reads a line in the background, as who is turned away is told only if it
// listens.
func (p *piped) hears() <-chan map[string]any {
	heard := make(chan map[string]any, 1)
	go func() { heard <- p.hear() }()
	return heard
}

func TestTheIdleLongestHasToGo(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		all := many(t, s, 100, maxClients)
		all[0].asks("x") // so it is not the one
		all[1].asks("subscribe")
		all[2].say(`{"command":`)
		const why = "too many clients: the one that has been idle for the longest has to go"
		for i, loser := range []int{2, 3, 4} {
			told := all[loser].hears()
			newcomer := joins(t, s, 500+i)
			assert.Equal(t, why, (<-told)["error"])
			all[loser].ended()
			assert.Equal(t, true, newcomer.asks("x")["ok"])
		}
		for _, i := range []int{0, 1, 5, maxClients - 1} {
			assert.Equal(t, true, all[i].asks("x")["ok"])
		}
		assert.Equal(t, []string{why + ", and 0 more"}, refused.all())
		assert.Equal(t, maxClients, s.connected())
	})
}

func TestWhoIsBusyOrWatchesStays(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		finish := make(chan struct{})
		s.Do = once(finish)
		all := many(t, s, 100, maxClients)
		for i, c := range all {
			if i%2 == 0 {
				c.asks("subscribe")
			} else {
				c.say(`{"command":"restart"}` + "\n")
			}
		}
		synctest.Wait()
		ours, theirs := net.Pipe()
		go s.serve(theirs, Peer{Pid: 9})
		text, _ := io.ReadAll(ours)
		assert.Equal(t, `{"version":1,"ok":false,"error":"64 clients are connected and waiting already"}`+"\n", string(text))
		s.Publish(Event{Event: "live"})
		assert.Equal(t, "live", all[0].hear()["event"])
		close(finish)
		assert.Equal(t, true, all[1].hear()["ok"])
		for i, c := range all {
			if i%2 == 0 && i > 0 {
				assert.Equal(t, "live", c.hear()["event"])
			} else if i > 1 && i%2 == 1 {
				assert.Equal(t, true, c.hear()["ok"])
			}
		}
		assert.Equal(t, true, joins(t, s, 9).asks("x")["ok"], "now that one is idle there is room")
		for _, c := range all {
			c.Close()
		}
	})
}

// One process that connects without end loses its own connections.
func TestShareOfAProcess(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		other := joins(t, s, 7)
		var own []*piped
		for range maxOfProcess {
			own = append(own, joins(t, s, 8))
		}
		for i := range 3 {
			told := own[i].hears()
			own = append(own, joins(t, s, 8))
			assert.Contains(t, (<-told)["error"], "too many clients")
		}
		assert.Equal(t, maxOfProcess+1, s.connected())
		for _, c := range own[3:] {
			assert.Equal(t, true, c.asks("subscribe")["ok"])
		}
		ours, theirs := net.Pipe()
		go s.serve(theirs, Peer{Pid: 8})
		text, _ := io.ReadAll(ours)
		assert.Contains(t, string(text), fmt.Sprintf(`"error":"%d clients of process 8 are connected and waiting already"`, maxOfProcess))
		assert.Equal(t, true, other.asks("x")["ok"], "though it has been idle for longer than all of them")
		assert.Equal(t, true, joins(t, s, 9).asks("x")["ok"])
	})
}

// A request whose client has to go meanwhile is not carried out: it was told that.
func TestNoRequestOfWhoHasToGo(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		c := &client{server: s}
		_, err := s.admit(c)
		require.NoError(t, err)
		s.remove(c)
		assert.False(t, s.begin(c))
		s.finished(c)
		assert.Zero(t, s.connected())
	})
}

// once answers a restart when finish is closed, and all else at once.
func once(finish <-chan struct{}) func(Peer, Request) Answer {
	return func(p Peer, r Request) Answer {
		if r.Command == "restart" {
			<-finish
		}
		return echo(p, r)
	}
}

// What is being carried out takes a place, whether or not anybody waits for it.
func TestWhoHasGoneKeepsThePlaceOfItsRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		finish := make(chan struct{})
		s.Do = once(finish)
		for range 2 * maxOfProcess {
			ours, theirs := net.Pipe()
			go s.serve(theirs, Peer{Pid: 8})
			_, _ = io.WriteString(ours, `{"command":"subscribe"}`+"\n")
			_, _ = bufio.NewReader(ours).ReadString('\n')
			_, _ = io.WriteString(ours, `{"command":"restart"}`+"\n")
			synctest.Wait()
			ours.Close()
			s.Publish(Event{Event: "restart-asked"})
			synctest.Wait()
		}
		assert.Equal(t, maxOfProcess, s.connected())
		assert.Zero(t, s.watched.Load(), "they have been noticed to be gone")
		close(finish)
		synctest.Wait()
		assert.Zero(t, s.connected())
		assert.Equal(t, []string{"16 clients of process 8 are connected and waiting already, and 0 more"}, refused.all())
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
