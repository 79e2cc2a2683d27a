package launch

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

var _ supervise.Traffic = (*Spawner)(nil)

// apart is a Spawner of a port with two sides. There is one generation, which gets all connections.
func apart(t *testing.T) (*Spawner, *log) {
	t.Helper()
	specs, err := socket.Parse([]string{"127.0.0.1:0"}, nil)
	require.NoError(t, err)
	specs[0].Reuseport, specs[0].Sided = true, true
	set, err := socket.Bind(t.Context(), specs, socket.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { set.Close() })
	out := newLog()
	s := &Spawner{Sockets: set, Out: out.Output}
	s.Take(0)
	require.NoError(t, s.Split(0, socket.All))
	return s, out
}

// connects makes connections, and waits until they wait on a side.
func connects(t *testing.T, s *Spawner, side, n int) (conns []net.Conn) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", s.Sockets.Sockets[0].Addr.String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	require.Eventually(t, func() bool {
		there, err := s.Sockets.Waiting(side)
		return err == nil && there == n
	}, 20*time.Second, time.Millisecond)
	return conns
}

func TestConnectionsGoToTheSideThatTheyAreSentTo(t *testing.T) {
	t.Parallel()
	s, out := apart(t)
	s.Take(1)
	counted, stop := s.Count(1)
	defer stop()
	old := connects(t, s, 0, 3)
	assert.Zero(t, counted())
	require.NoError(t, s.Split(1, socket.All))
	connects(t, s, 1, 1)
	require.Eventually(t, func() bool { return counted() == 1 }, 20*time.Second, time.Millisecond)
	assert.Equal(t, 3, s.Clear(0))
	for _, conn := range old {
		_, err := conn.Read(make([]byte, 1))
		assert.ErrorIs(t, err, unix.ECONNRESET, "its client hears of it")
	}
	assert.Zero(t, s.Clear(1), "it gets connections")
	assert.Empty(t, out.written())
}

// Our own connections, for example those of probes, reach a generation once it has begun.
func TestGenerationCanBeReachedOnceItHasBegun(t *testing.T) {
	t.Parallel()
	s, _ := apart(t)
	_, err := s.Sockets.Connect(t.Context(), 0, 0, 1)
	assert.ErrorIs(t, err, socket.ErrLacks)
	s.Take(1)
	conn, err := s.Sockets.Connect(t.Context(), 0, 0, 1)
	require.NoError(t, err)
	require.NoError(t, unix.Close(conn))
}

func TestWhatIsNotAcceptedIsToldOf(t *testing.T) {
	t.Parallel()
	s, out := apart(t)
	s.Take(1)
	connects(t, s, 0, 1)
	require.NoError(t, s.Split(1, socket.All))
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s.Drain(1)
		assert.Less(t, time.Since(began), time.Second, "nobody waits there")
		began = time.Now()
		s.Drain(0)
		assert.Less(t, time.Since(began), 11*time.Second)
	})
	assert.Equal(t, "1 connection still not accepted by the workers that are to go, after 10 secs\n", out.written())
}
