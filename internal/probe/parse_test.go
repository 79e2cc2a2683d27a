package probe

import (
	"net"
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/probe/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sockets are of all kinds, as they are before they are bound.
var sockets = []fdenv.Socket{
	{Name: "8080", Label: "web", Addr: &net.TCPAddr{Port: 8080}, FD: 3},
	{Name: "53", Addr: &net.UDPAddr{Port: 53}, FD: 4},
	{Name: "53", Addr: &net.TCPAddr{Port: 53}, FD: 5},
	{Name: "127.0.0.1:8081", Addr: &net.TCPAddr{Port: 8081}, FD: 6},
	{Name: "[::1]:8082", Addr: &net.TCPAddr{Port: 8082}, FD: 7},
	{Label: "free", Addr: &net.TCPAddr{}, FD: 8},
	{Name: "/run/a.sock", Label: "api", Addr: &net.UnixAddr{Name: "/run/a.sock", Net: "unix"}, FD: 9},
	{Name: "5353", Label: "dns", Addr: &net.UDPAddr{Port: 5353}, FD: 10},
	{Label: "twice", Addr: &net.TCPAddr{}, FD: 11},
	{Label: "twice", Addr: &net.TCPAddr{}, FD: 12},
	{Label: "unknown", FD: 13},
	{Name: "localhost:8083", Addr: &net.TCPAddr{Port: 8083}, FD: 14},
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Probe{
		"http://web/health":            {Socket: 0, kind: wire.HTTP, path: "/health"},
		"http://8080/health?a=b&c=%20": {Socket: 0, kind: wire.HTTP, path: "/health?a=b&c=%20"},
		"http://web":                   {Socket: 0, kind: wire.HTTP, path: "/"},
		"http://web?a":                 {Socket: 0, kind: wire.HTTP, path: "/?a"},
		"http://web/ä":                 {Socket: 0, kind: wire.HTTP, path: "/%C3%A4"},
		"http://web/a%2fb//c":          {Socket: 0, kind: wire.HTTP, path: "/a%2fb//c"},
		"https://127.0.0.1:8081/":      {Socket: 3, kind: wire.HTTPS, path: "/", host: "127.0.0.1:8081"},
		"https://[::1]:8082/":          {Socket: 4, kind: wire.HTTPS, path: "/", host: "[::1]:8082"},
		"http://localhost:8083/":       {Socket: 11, kind: wire.HTTP, path: "/", host: "localhost:8083"},
		"tcp://free":                   {Socket: 5},
		"tcp://53":                     {Socket: 2}, // the UDP socket has the same name
		"exec:curl -f http://$ADDR/ ":  {Socket: -1, kind: wire.Exec, command: "curl -f http://$ADDR/ "},
	} {
		want.Text, want.private = text, true
		got, err := Parse([]string{text}, sockets, true)
		assert.NoError(t, err)
		assert.Equal(t, []Probe{want}, got)
	}
	none, err := Parse(nil, nil, false)
	assert.NoError(t, err)
	assert.Empty(t, none)
}

func TestWhatIsNoProbe(t *testing.T) {
	t.Parallel()
	const names = "there are web, 53, 53, 127.0.0.1:8081, [::1]:8082, free, api, dns, twice, twice, unknown, localhost:8083"
	for text, want := range map[string]string{
		"":                                     "it is none of http://NAME/path, https://NAME/path, tcp://NAME or exec:COMMAND",
		"web":                                  "it is none of http://NAME/path, https://NAME/path, tcp://NAME or exec:COMMAND",
		"ftp://web/":                           `scheme "ftp" is not known; a probe is http://NAME/path, https://NAME/path, tcp://NAME or exec:COMMAND`,
		"HTTP://web/":                          `scheme "HTTP" is not known; a probe is http://NAME/path, https://NAME/path, tcp://NAME or exec:COMMAND`,
		"http://":                              "the name of the socket is missing",
		"http:///health":                       `no socket is called "/health"; ` + names,
		"http://nosuch/":                       `no socket is called "nosuch"; ` + names,
		"http://a@web/":                        `no socket is called "a@web"; ` + names,
		"http://twice/":                        `2 sockets are called "twice": give each a label of its own`,
		"http://api/":                          "all workers share a unix socket: only exec: can be sure which worker it asks",
		"http:///run/a.sock":                   "all workers share a unix socket: only exec: can be sure which worker it asks",
		"tcp://dns":                            "all workers share a udp socket: only exec: can be sure which worker it asks",
		"tcp://unknown":                        "it is not known what socket that is: only exec: can be sure which worker it asks",
		"tcp://web/health":                     "tcp:// asks for a connection only, and takes no path",
		"http://web/a b":                       "the path holds a blank or a control character: write it as %20 and the like",
		"http://web/a\r\nX: y":                 "the path holds a blank or a control character: write it as %20 and the like",
		"http://web/#top":                      "a part behind # is not sent to a server: leave it out, or write %23",
		"http://web/%zz":                       `the path: invalid URL escape "%zz"`,
		"exec:":                                "the command is empty",
		"exec: \t":                             "the command is empty",
		"exec:a\x00b":                          "a command holds no NUL",
		"exec:" + strings.Repeat("a", 200<<10): "a command of 204800 bytes is too long; 102400 fit",
	} {
		_, err := Parse([]string{text}, sockets, true)
		require.Error(t, err, text)
		assert.True(t, strings.HasSuffix(err.Error(), ": "+want), "%q is not %q", err, want)
		assert.NotContains(t, err.Error(), "\n")
		assert.Less(t, len(err.Error()), 400)
	}
	_, err := Parse([]string{"tcp://web"}, nil, true)
	assert.EqualError(t, err, `probe "tcp://web": no socket is called "web"; there is none with a name`)
	_, err = Parse([]string{"tcp://web"}, sockets[1:2], true)
	assert.EqualError(t, err, `probe "tcp://web": no socket is called "web"; there is only 53`)
}

func TestOnlyACommandCanBeSureWithoutPrivateSockets(t *testing.T) {
	t.Parallel()
	got, err := Parse([]string{"exec:true"}, sockets, false)
	assert.NoError(t, err)
	assert.Equal(t, []Probe{{Text: "exec:true", Socket: -1, kind: wire.Exec, command: "true"}}, got)
	_, err = Parse([]string{"http://web/", "exec:true", "tcp://web", "exec:true"}, sockets, false)
	assert.EqualError(t, err, `probe "http://web/": without blue-green all workers share a socket: only exec: can be sure which worker it asks
probe "tcp://web": without blue-green all workers share a socket: only exec: can be sure which worker it asks
probe "exec:true": it is given twice`)
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"http://web/health?a=%20", "https://[::1]:8082/", "tcp://free", "exec:true", "http://web/\x7f", "tcp://", "://", "http://web#"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		probes, err := Parse([]string{text}, sockets, true)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		p := probes[0]
		require.Equal(t, text, p.Text)
		require.Equal(t, p.kind == wire.Exec, p.Socket == -1)
		r := wire.Request{ID: 1, Kind: p.kind, Host: p.host, Path: p.path, Command: p.command}
		if p.kind == wire.HTTP || p.kind == wire.HTTPS {
			require.NotContains(t, p.path+p.host, " ")
			require.True(t, strings.HasPrefix(p.path, "/"), p.path)
		}
		if p.kind != "" {
			frame, err := r.Encode()
			require.NoError(t, err)
			_, err = wire.DecodeRequest(frame[4:])
			require.NoError(t, err)
		}
	})
}
