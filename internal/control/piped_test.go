package control

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests run in a bubble, where hours pass in no time. net.Pipe stands for a
// socket. It has no buffer: a client that does not read is noticed at once.

// inBubble runs a test with a server that only the test connects to, and checks
// that no client is left in the end.
func inBubble(t *testing.T, do func(s *Server, refused *told)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		refused := &told{}
		s := newServer(Config{Name: "start_server", Do: echo, Refused: refused.refused})
		do(s, refused)
		if !s.isClosed() {
			s.disconnect()
		}
		synctest.Wait()
		assert.Zero(t, s.connected())
		assert.Zero(t, s.watched.Load())
	})
}

// piped is a client on a pipe.
type piped struct {
	*testing.T
	net.Conn
	in *bufio.Reader
}

// joins connects a client of a process.
func joins(t *testing.T, s *Server, pid int) *piped {
	t.Helper()
	ours, theirs := net.Pipe()
	s.serve(theirs, Peer{Pid: pid}, &HeldClient{})
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

// hears reads a line in the background: a client that is turned away is told so only
// if it reads.
func (p *piped) hears() <-chan map[string]any {
	heard := make(chan map[string]any, 1)
	go func() { heard <- p.hear() }()
	return heard
}
