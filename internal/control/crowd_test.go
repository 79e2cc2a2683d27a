package control

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// many connects n clients of as many processes, from pid on.
func many(t *testing.T, s *Server, pid, n int) []*piped {
	t.Helper()
	var all []*piped
	for i := range n {
		all = append(all, joins(t, s, pid+i))
	}
	return all
}

func TestTheIdleLongestHasToGo(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		all := many(t, s, 100, maxClients)
		all[0].asks("x") // so it is not the one that has to go
		all[1].asks("subscribe")
		all[2].say(`{"command":`)
		const why = "too many clients: this one was idle for the longest time, and is disconnected"
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

func TestWhoWaitsForAnAnswerStays(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		finish := make(chan struct{})
		s.Do = once(finish)
		all := many(t, s, 100, maxClients)
		for _, c := range all {
			c.say(`{"command":"restart"}` + "\n")
		}
		synctest.Wait()
		ours, theirs := net.Pipe()
		go s.serve(theirs, Peer{Pid: 9}, &HeldClient{})
		text, _ := io.ReadAll(ours)
		assert.Equal(t, `{"version":1,"ok":false,"error":"64 clients are connected and wait for an answer"}`+"\n", string(text))
		close(finish)
		for _, c := range all {
			assert.Equal(t, true, c.hear()["ok"])
		}
		assert.Equal(t, true, joins(t, s, 9).asks("x")["ok"], "now that they are idle there is room")
		for _, c := range all {
			c.Close()
		}
	})
}

// However many clients watch, another one can ask for something. One that watches goes only if all
// others watch or wait, and it is told why.
func TestWatchersMakeRoom(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		finish := make(chan struct{})
		s.Do = once(finish)
		all := many(t, s, 100, maxClients)
		all[0].say(`{"command":"restart"}` + "\n")
		for _, c := range all[1 : maxClients-1] {
			c.asks("subscribe")
			synctest.Wait() // until the server has noted that it is idle
		}
		idle, loser := all[maxClients-1].hears(), all[1].hears()
		const why = "too many clients: this one was idle for the longest time, and is disconnected"
		assert.Equal(t, true, joins(t, s, 500).asks("subscribe")["ok"])
		assert.Equal(t, why, (<-idle)["error"])
		synctest.Wait()
		assert.Equal(t, true, joins(t, s, 501).asks("x")["ok"])
		assert.Equal(t, why, (<-loser)["error"])
		all[1].ended()
		synctest.Wait()
		assert.EqualValues(t, maxClients-2, s.watched.Load())
		close(finish)
		assert.Equal(t, true, all[0].hear()["ok"])
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
		finish := make(chan struct{})
		s.Do = once(finish)
		for _, c := range own[3:] {
			c.say(`{"command":"restart"}` + "\n")
		}
		synctest.Wait()
		ours, theirs := net.Pipe()
		go s.serve(theirs, Peer{Pid: 8}, &HeldClient{})
		text, _ := io.ReadAll(ours)
		assert.Contains(t, string(text), fmt.Sprintf(`"error":"%d clients of process 8 are connected and wait for an answer"`, maxOfProcess))
		assert.Equal(t, true, other.asks("x")["ok"], "though it has been idle for longer than all of them")
		assert.Equal(t, true, joins(t, s, 9).asks("x")["ok"])
		close(finish)
		for _, c := range own[3:] {
			assert.Equal(t, true, c.hear()["ok"])
		}
	})
}

// If a client has to go, its request is not carried out: the client was told so.
func TestNoRequestOfWhoHasToGo(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		c := &client{server: s}
		_, err := s.admit(c)
		require.NoError(t, err)
		s.remove(c)
		_, ok := s.begin(c)
		assert.False(t, ok)
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

// A request that is carried out takes a place, even if no client waits for it.
func TestWhoHasGoneKeepsThePlaceOfItsRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, refused *told) {
		finish := make(chan struct{})
		s.Do = once(finish)
		for range 2 * maxOfProcess {
			ours, theirs := net.Pipe()
			go s.serve(theirs, Peer{Pid: 8}, &HeldClient{})
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
		assert.Equal(t, []string{"16 clients of process 8 are connected and wait for an answer, and 0 more"}, refused.all())
	})
}
