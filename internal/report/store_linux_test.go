package report

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// A message that is lost is sent again when there is a reason to look.
func TestStoreIsMadeRightAgain(t *testing.T) {
	t.Parallel()
	specs, err := socket.Parse([]string{"127.0.0.1:0"}, nil)
	require.NoError(t, err)
	set, err := socket.Bind(context.Background(), specs, socket.Options{})
	require.NoError(t, err)
	defer set.Close()
	var sent, logged []string
	var fails error
	m := &Manager{
		send: func(text string) error { sent = append(sent, text); return fails },
		log:  func(format string, args ...any) { logged = append(logged, fmt.Sprintf(format, args...)) },
	}
	s := NewStore(m, func() *socket.Set { return set }, false)
	s.send = func(text string, _ int) error { return m.send(text) }
	s.Begin([]socket.Kept{{Name: "start_server/0/-/old", Ino: 1}})
	look := func() string {
		sent = nil
		s.Hear(supervise.Started{})
		m.queue.Flush()
		return strings.Join(sent, "\n\n")
	}
	const name = "start_server/0/-/tcp+127.0.0.1+0+0+false"
	all := "FDSTOREREMOVE=1\nFDNAME=start_server/0/-/old\n\nFDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0"
	fails = errors.New("nobody reads")
	assert.Equal(t, all, look())
	assert.Equal(t, all, look())
	assert.Equal(t, []string{"sockets cannot be given to the service manager to keep: nobody reads"}, logged)
	fails = nil
	assert.Equal(t, all, look())
	assert.Empty(t, look())
	require.Len(t, s.State(), 1)
	s.Off = true
	assert.Equal(t, "FDSTOREREMOVE=1\nFDNAME="+name, look())
	assert.Empty(t, s.State())
	(*Store)(nil).Sync()
	assert.Empty(t, (*Store)(nil).State())
}
