//go:build linux

package starter_test

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	starter "github.com/lestrrat/go-server-starter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// resize asks for n workers by the control socket.
func (d *daemon) resize(n int) {
	d.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(d.dir, "ctl"))
	require.NoError(d.t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "{\"command\":\"workers\",\"workers\":%d}\n", n)
	require.NoError(d.t, err)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(d.t, err)
	assert.Contains(d.t, answer, `"ok":true`)
}

// The sockets of slots come and go while workers are told of them, and may still
// be drained when everything ends.
func TestSlotsWhileAllElseGoesOn(t *testing.T) {
	t.Parallel()
	for range 3 {
		d := start(t, func(c *starter.Config) {
			c.Ports = []string{"127.0.0.1:0,reuseport", "127.0.0.1:0,reuseport"}
			c.Workers = 2
			c.Control = filepath.Join(dirOf(c), "ctl")
		})
		for n := range 4 {
			d.resize(4 + 3*n)
			assert.Len(t, d.Addrs(), 2)
			_, err := d.Status(t.Context())
			require.NoError(t, err)
		}
		// No worker accepts: this connection waits in a queue, and its slot drains meanwhile.
		conn, err := net.Dial("tcp", d.Addrs()[0].String())
		require.NoError(t, err)
		defer conn.Close()
		d.resize(1)
		d.cancel()
		<-d.ended
		assert.NoError(t, d.err)
	}
}
