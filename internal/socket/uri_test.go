package socket

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSocketsByURI(t *testing.T) {
	t.Parallel()
	everywhere := "0.0.0.0:8080"
	if haveIPv6() {
		everywhere = "[::]:8080,v6only=0"
	}
	mode := fmt.Sprintf(",mode=%o", 0o777&^umask())
	for uri, want := range map[string]struct{ port, path string }{
		"tcp://:8080":           {port: everywhere},
		"tcp://:8080/":          {port: everywhere},
		"tcp://[::]:8080":       {port: "[::]:8080,v6only=0"},
		"tcp://0.0.0.0:8080":    {port: "0.0.0.0:8080"},
		"tcp4://:8080":          {port: "0.0.0.0:8080"},
		"tcp6://:8080":          {port: "[::]:8080"},
		"tcp://127.0.0.1:80":    {port: "127.0.0.1:80"},
		"tcp4://127.0.0.1:80":   {port: "127.0.0.1:80"},
		"tcp6://[::1]:80":       {port: "[::1]:80"},
		"tcp://[fe80::1%lo]:80": {port: "[fe80::1%lo]:80"},
		"tcp4://localhost:80":   {port: "127.0.0.1:80"},
		"unix:///run/app.sock":  {path: "/run/app.sock" + mode},
		"unix:/run/app.sock":    {path: "/run/app.sock" + mode},
		"unix:app.sock":         {path: "./app.sock" + mode},
		"unix://a@/b, c/d":      {path: "./a@/b, c/d" + mode},
		"fd://3":                {port: "fd://3"},
	} {
		port, path, err := FromURI(uri)
		require.NoError(t, err, uri)
		assert.Equal(t, want.port, port, uri)
		assert.Equal(t, want.path, path, uri)
	}
}

func TestURIsThatAreNone(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"":                   `listen "": it is not a URI such as tcp://:8080, unix:///run/app.sock or fd://3`,
		"8080":               `it is not a URI`,
		":8080":              `it is not a URI`,
		"localhost:8080":     `it is not a URI`,
		"http://:8080":       `listen "http://:8080": scheme "http" is not tcp, tcp4, tcp6, unix or fd`,
		"TCP://:8080":        `scheme "TCP" is not`,
		"tcp://":             `what follows // is not HOST:PORT, with an IPv6 address in brackets`,
		"tcp://8080":         `is not HOST:PORT`,
		"tcp://localhost:":   `is not HOST:PORT`,
		"tcp://::1:80":       `is not HOST:PORT`,
		"tcp://:99999":       `invalid port`,
		"tcp://:80,81":       `unknown port`,
		"tcp4://[::1]:80":    `no suitable address`,
		"tcp6://127.0.0.1:1": `no suitable address`,
		"unix:":              `the path is missing`,
		"unix://":            `the path is missing`,
		"unix:///s,nonblock": `path "/s,nonblock" looks as if options were behind its comma: choose another one`,
		"fd://":              `"" is not the number of a descriptor`,
		"fd://x":             `"x" is not the number of a descriptor`,
		"fd://-1":            `is not the number`,
		"fd://3,fd://4":      `is not the number`,
		"fd://3=4":           `is not the number`,
	} {
		port, path, err := FromURI(uri)
		assert.ErrorContains(t, err, want, uri)
		assert.Empty(t, port+path)
	}
}

func TestHostOfAURIThatNobodyKnows(t *testing.T) {
	t.Parallel()
	var unknown *net.DNSError
	_, _, err := FromURI("tcp://no-such-host.invalid:80")
	assert.ErrorAs(t, err, &unknown)
}
