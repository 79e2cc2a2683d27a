package control

import (
	"bufio"
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handsOver is a server that hands the client over that asks for "hand".
func handsOver(t *testing.T) (last *Server, path string, waits <-chan *Waiting) {
	t.Helper()
	waiting := make(chan *Waiting, 1)
	last, path = listenWith(t, Config{Do: func(p Peer, r Request) Answer {
		if r.Command != "hand" {
			return echo(p, r)
		}
		w, err := r.Wait()
		assert.NoError(t, err)
		waiting <- w
		<-t.Context().Done() // a real process would be another image by now
		return Answer{}
	}})
	return last, path, waiting
}

// succeeds makes the server of the next image. The last one no longer accepts.
func succeeds(t *testing.T, last *Server, path string) *Server {
	t.Helper()
	held, _, err := last.Hand(true)
	require.NoError(t, err)
	require.NoError(t, last.listener.UnixListener.Close())
	next, err := Listen(path, Config{Do: echo, Refused: func(string, int) {}, Held: held})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, next.Close()) })
	return next
}

func TestClientThatHasAskedIsAnsweredByTheNextImage(t *testing.T) {
	t.Parallel()
	last, path, waits := handsOver(t)
	c := call(t, path)
	c.say(`{"command":"hand","id":"a"}` + "\n")
	w := <-waits
	next := succeeds(t, last, path)
	next.Answer(w, func() Answer { return Answer{OK: true, Message: "done"} })
	assert.Equal(t, map[string]any{"version": 1.0, "id": "a", "ok": true, "message": "done"}, c.hear())
	c.say(`{"command":"more"}` + "\n")
	assert.Equal(t, []any{"more"}, c.hear()["log"])
	other := call(t, path)
	other.say(`{"command":"x"}` + "\n")
	assert.Equal(t, []any{"x"}, other.hear()["log"])
}

// The next image also reads what the client has said after its request.
func TestClientThatHasAskedForMoreIsAnsweredByTheNextImage(t *testing.T) {
	t.Parallel()
	last, path, waits := handsOver(t)
	c := call(t, path)
	c.say(`{"command":"hand"}` + "\n" + `{"command":"more"}` + "\n" + `{"comm`)
	w := <-waits
	next := succeeds(t, last, path)
	next.Answer(w, func() Answer { return Answer{OK: true} })
	assert.Equal(t, true, c.hear()["ok"])
	c.say(`and":"x"}` + "\n")
	assert.Equal(t, []any{"more"}, c.hear()["log"])
	assert.Equal(t, []any{"x"}, c.hear()["log"])
}

func TestClientThatFollowsAndHasAskedFollowsTheNextImage(t *testing.T) {
	t.Parallel()
	last, path, waits := handsOver(t)
	c := call(t, path)
	c.say(`{"command":"subscribe"}` + "\n")
	c.hear()
	c.say(`{"command":"hand"}` + "\n")
	w := <-waits
	last.Farewell(Event{Event: "handed-over"}, time.Minute)
	assert.Equal(t, "handed-over", c.hear()["event"], "it is read, or on its way, when Farewell returns")
	next := succeeds(t, last, path)
	answer := make(chan Answer)
	next.Answer(w, func() Answer { return <-answer })
	eventually(t, next.Watched, "nobody follows")
	next.Publish(Event{Event: "live"})
	assert.Equal(t, "live", c.hear()["event"])
	answer <- Answer{OK: true}
	assert.Equal(t, true, c.hear()["ok"])
}

func TestClientIsAnsweredByAnImageWithoutAControlSocket(t *testing.T) {
	t.Parallel()
	_, path, waits := handsOver(t)
	for id, want := range map[string]any{`,"id":"a"`: "a", "": nil} {
		c := call(t, path)
		c.say(`{"command":"hand"` + id + "}\n")
		(<-waits).Answer(func() Answer { return Answer{OK: true} })
		a := c.hear()
		assert.Equal(t, want, a["id"])
		assert.Equal(t, true, a["ok"])
	}
}

// postpones makes a server whose requests "late" wait for the next image.
func postpones(t *testing.T) (last *Server, path string, asked <-chan string) {
	t.Helper()
	began := make(chan string, 8)
	last, path = listenWith(t, Config{Do: func(p Peer, r Request) Answer {
		if r.Command != "late" {
			return echo(p, r)
		}
		began <- string(r.ID)
		<-r.Context().Done()
		assert.ErrorIs(t, context.Cause(r.Context()), ErrHandedOver)
		return HandedOver()
	}})
	return last, path, began
}

// inAnyState connects a client in each state that a client may be in.
func inAnyState(t *testing.T, last *Server, path string, asked <-chan string) (check func(hear func(c *caller) map[string]any)) {
	t.Helper()
	idle, half, late, follows, told, busy := call(t, path), call(t, path), call(t, path), call(t, path), call(t, path), call(t, path)
	idle.say(`{"command":"x"}` + "\n")
	idle.hear()
	half.say(`{"command":"x"}` + "\n" + `{"command":`)
	half.hear()
	late.say(`{"command":"late","id":1}` + "\n" + `{"command":"next"}` + "\n" + `{"comm`)
	told.say(`{"command":"subscribe"}` + "\n")
	told.hear()
	busy.say(`{"command":"subscribe"}` + "\n")
	busy.hear()
	busy.say(`{"command":"late","id":2}` + "\n")
	assert.ElementsMatch(t, []string{"1", "2"}, []string{<-asked, <-asked})
	last.Farewell(Event{Event: "handed-over"}, time.Minute)
	told.hear()
	busy.hear()
	follows.say(`{"command":"subscribe"}` + "\n")
	follows.hear()
	return func(hear func(c *caller) map[string]any) {
		idle.say(`{"command":"again"}` + "\n")
		assert.Equal(t, []any{"again"}, hear(idle)["log"])
		half.say(`"half"}` + "\n")
		assert.Equal(t, []any{"half"}, hear(half)["log"])
		assert.Equal(t, []any{"late"}, hear(late)["log"])
		assert.Equal(t, []any{"next"}, hear(late)["log"])
		late.say(`and":"last"}` + "\n")
		assert.Equal(t, []any{"last"}, hear(late)["log"])
		assert.Equal(t, []any{"late"}, hear(busy)["log"])
		follows.say(`{"command":"more"}` + "\n")
		assert.Equal(t, []any{"more"}, hear(follows)["log"])
	}
}

func TestNoRequestIsLostByAHandOver(t *testing.T) {
	t.Parallel()
	last, path, asked := postpones(t)
	check := inAnyState(t, last, path, asked)
	held, _, err := last.Hand(true)
	require.NoError(t, err)
	assert.Len(t, held.Clients, 5, "all but the one that connects again")
	require.NoError(t, last.listener.UnixListener.Close())
	next, err := Listen(path, Config{Do: echo, Refused: func(string, int) {}, Held: held})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, next.Close()) })
	next.GoOn(held)
	check(func(c *caller) map[string]any { return c.hear() })
	next.Publish(Event{Event: "live"})
}

func TestNoRequestIsLostByAHandOverThatIsTakenBack(t *testing.T) {
	t.Parallel()
	last, path, asked := postpones(t)
	check := inAnyState(t, last, path, asked)
	_, release, err := last.Hand(true)
	require.NoError(t, err)
	last.Do = echo
	release()
	check(func(c *caller) map[string]any { return c.hear() })
	assert.Equal(t, []any{"x"}, func() any { c := call(t, path); c.say(`{"command":"x"}` + "\n"); return c.hear()["log"] }())
}

// A client of the last image may have to be handed over again before anything was read from it.
func TestWhatIsNotReadYetIsKeptByAHandOver(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *Server, _ *told) {
		_, goOn := s.park()
		ours, theirs := net.Pipe()
		s.serve(theirs, Peer{Pid: 5}, &HeldClient{Unread: `{"command":"x"}` + "\n" + `{"comm`})
		synctest.Wait()
		parked, _ := s.parked()
		if assert.Len(t, parked, 1) {
			assert.Equal(t, `{"command":"x"}`+"\n"+`{"comm`, parked[0].rest)
		}
		goOn()
		c := &piped{t, ours, bufio.NewReader(ours)}
		assert.Equal(t, []any{"x"}, c.hear()["log"])
		c.say(`and":"y"}` + "\n")
		assert.Equal(t, []any{"y"}, c.hear()["log"])
	})
}

// The client is out of the queue already, and nothing was read from it yet. If it were not handed
// over, the next image would not know of it.
func TestClientThatIsJustAcceptedIsHandedOver(t *testing.T) {
	t.Parallel()
	accepted, goOn := make(chan struct{}), make(chan struct{})
	last, path := listenWith(t, Config{Ancestors: func(int) []int { close(accepted); <-goOn; return nil }})
	c := call(t, path)
	c.say(`{"command":"x"}` + "\n")
	<-accepted
	handed := make(chan *Held, 1)
	go func() {
		held, _, err := last.Hand(true)
		assert.NoError(t, err)
		handed <- held
	}()
	eventually(t, last.isParking, "nothing is handed over")
	close(goOn)
	assert.Len(t, (<-handed).Clients, 1)
}

// An image that knows of no clients gets none.
func TestClientsAreNotHandedToWhoDoesNotKnowThem(t *testing.T) {
	t.Parallel()
	last, path, asked := postpones(t)
	inAnyState(t, last, path, asked)
	held, _, err := last.Hand(false)
	require.NoError(t, err)
	assert.Empty(t, held.Clients)
}

// A client whose request takes long does not hold up the hand-over, and is not handed over.
func TestHandOverDoesNotWaitForWhoIsBusy(t *testing.T) {
	t.Parallel()
	began, finish := make(chan struct{}), make(chan struct{})
	last, path := listenWith(t, Config{Do: func(p Peer, r Request) Answer { close(began); <-finish; return echo(p, r) }})
	defer close(finish)
	c := call(t, path)
	c.say(`{"command":"x"}` + "\n")
	<-began
	start := time.Now()
	held, _, err := last.Hand(true)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(start), parkTime)
	assert.Empty(t, held.Clients)
}

func TestClientsOfAnImageWithoutAControlSocketAreRefused(t *testing.T) {
	t.Parallel()
	last, path, asked := postpones(t)
	c := call(t, path)
	c.say(`{"command":"late","id":1}` + "\n")
	<-asked
	held, _, err := last.Hand(true)
	require.NoError(t, err)
	held.Refuse(errors.New("nobody listens any more"))
	assert.Equal(t, map[string]any{"version": 1.0, "ok": false, "error": "nobody listens any more"}, c.hear())
}

func TestFarewellDoesNotWaitForWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	s, path, _ := handsOver(t)
	c := call(t, path)
	c.say(`{"command":"subscribe"}` + "\n")
	c.hear()
	big := make([]byte, 100<<10)
	for range 20 {
		s.Publish(Event{Event: "x", Text: string(big)})
	}
	s.Farewell(Event{Event: "handed-over"}, time.Millisecond)
	(*Server)(nil).Farewell(Event{}, time.Hour)
}

func TestHeldSocketThatIsNotWantedIsRemoved(t *testing.T) {
	t.Parallel()
	last, path := listenWith(t, Config{})
	held, _, err := last.Hand(true)
	require.NoError(t, err)
	held.Drop()
	assert.NoFileExists(t, path)
}
