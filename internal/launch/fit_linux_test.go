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

// To the byte: the name, the value and the NUL.
func TestTheLongestVariableFits(t *testing.T) {
	t.Parallel()
	const around = len("SERVER_STARTER_PORT=") + len("=3") + 1
	named := func(size int) []fdenv.Socket {
		return []fdenv.Socket{{Name: strings.Repeat("x", size-around), Addr: &net.TCPAddr{Port: 1}, FD: 3}}
	}
	p := &Program{}
	assert.NoError(t, p.fit(named(maxVariable)))
	assert.EqualError(t, p.fit(named(maxVariable+1)),
		"1 socket is too many to be told of: SERVER_STARTER_PORT would have 131073 bytes, and a variable may have 131072: the first 0 fit")
}
