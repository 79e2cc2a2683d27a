package report

import (
	"errors"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

func TestAPathThatIsGoneIsToldOnce(t *testing.T) {
	t.Parallel()
	out := newWritten()
	var gone []string
	var lost bool
	var fault error
	asked := 0
	p := &Paths{
		Out: out.Output, Name: "start_server",
		Lost:  func() []string { asked++; return gone },
		Renew: func() (bool, error) { return lost, fault },
	}
	died, hup := supervise.Died{Worker: worker, Status: 9}, supervise.RestartAsked{Cause: "received HUP"}
	const a = "/run/a.sock was removed: new connections to it fail until start_server is restarted\n"
	const b = "/run/b.sock was removed: new connections to it fail until start_server is restarted\n"
	for _, row := range []struct {
		gone  []string
		lost  bool
		fault error
		event supervise.Event
		then  string
	}{
		{nil, false, nil, died, ""},
		{[]string{"/run/a.sock"}, false, nil, died, a},
		{[]string{"/run/a.sock"}, false, nil, hup, ""},
		{[]string{"/run/a.sock", "/run/b.sock"}, true, nil, supervise.Refused{}, b + "the control socket was removed: it was made anew\n"},
		{nil, false, errors.New("no room"), hup, "the control socket was removed, and could not be made anew: no room\n"},
		{nil, false, errors.New("no room"), hup, ""},
	} {
		gone, lost, fault = row.gone, row.lost, row.fault
		p.Hear(row.event)
		assert.Equal(t, row.then, out.lines())
	}
	p.Hear(supervise.Killed{Worker: worker})
	assert.Empty(t, out.lines())
	assert.Equal(t, 6, asked, "when something happens that may be a reason, and not else")
}
