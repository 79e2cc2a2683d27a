package launch

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
)

func ports(n int) []fdenv.Socket {
	sockets := make([]fdenv.Socket, n)
	for i := range sockets {
		sockets[i] = fdenv.Socket{Name: fmt.Sprintf("127.0.0.1:%d", 20000+i), Addr: &net.TCPAddr{Port: 20000 + i}, FD: 3 + i}
	}
	return sockets
}

// What fits can be executed, and one socket more cannot.
func TestHowManySocketsFit(t *testing.T) {
	t.Parallel()
	p := &Program{}
	require.NoError(t, p.fit(nil))
	require.NoError(t, p.fit(ports(1000)))
	err := p.fit(ports(9000))
	require.Error(t, err)
	var fits int
	_, after, _ := strings.Cut(err.Error(), "the first ")
	_, scanned := fmt.Sscanf(after, "%d fit", &fits)
	require.NoError(t, scanned, err.Error())
	assert.NoError(t, p.fit(ports(fits)))
	assert.Error(t, p.fit(ports(fits+1)))
	for n, works := range map[int]bool{fits: true, fits + 1: false} {
		cmd := exec.Command("/bin/true")
		cmd.Env = fdenv.ServerStarter(ports(n), 1)
		if err := cmd.Run(); works {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, "argument list too long")
		}
	}
}
