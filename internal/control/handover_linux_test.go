package control

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handsOver is a server that hands over when it is asked to "hand": the socket and the
// client that has asked.
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
		<-t.Context().Done() // the process is another image by then
		return Answer{}
	}})
	return last, path, waiting
}

// succeeds is the server of the next image. The last one accepts nobody any more.
func succeeds(t *testing.T, last *Server, path string) *Server {
	t.Helper()
	held, _, err := last.Hand()
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
	held, _, err := last.Hand()
	require.NoError(t, err)
	held.Drop()
	assert.NoFileExists(t, path)
}
