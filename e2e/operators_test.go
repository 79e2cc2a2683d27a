//go:build linux

package e2e

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What an operator gets wrong, and what is said of it.

// An admin server and the application, each in a server of its own, have a port
// each: a request to one must never be answered by the other.
func TestGoServerTakesTheSocketThatItsAddressNames(t *testing.T) {
	t.Parallel()
	app, admin := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	d := start(t, ours, "--port="+app, "--port="+admin, "--interval=0.3", "--", hello, "-addr="+admin)
	d.answers(1, "tcp", admin)
	conn, err := net.Dial("tcp", app) // which waits for whoever serves that
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Second)))
	_, err = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	assert.ErrorContains(t, err, "timeout")
	d.stop()

	d = start(t, ours, "--port="+app, "--port="+admin, "--interval=0.3", "--attempts=1", "--", hello, "-addr=:1")
	assert.Equal(t, 1, d.exit())
	d.sees(1, fmt.Sprintf(`serve on :1: not among the inherited sockets %s=3;%s=4; set the server's Addr to one of them`, app, admin))
}
