//go:build linux || darwin

package listener

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// passes sets the variables by which systemd passes n sockets of these names to pid.
func passes(t *testing.T, pid, n, names string) {
	t.Helper()
	t.Setenv("LISTEN_PID", pid)
	t.Setenv("LISTEN_FDS", n)
	t.Setenv("LISTEN_FDNAMES", names)
}

var ownPID = strconv.Itoa(os.Getpid())

func TestListenNamed(t *testing.T) {
	web, webAddr := listenTCP(t, "127.0.0.1:0")
	admin, path := listenUnix(t)
	dns, dnsAddr := listenUDP(t, "127.0.0.1:0")
	t.Setenv(labelsEnvVarName, entry("web", web)+";"+entry("admin", admin)+";"+entry("dns", dns))
	for label, want := range map[string]string{"web": webAddr.String(), "admin": path} {
		listeners, err := ListenNamed(label)
		require.NoError(t, err, label)
		require.Len(t, listeners, 1, label)
		require.Equal(t, want, listeners[0].Addr().String())
		require.NoError(t, listeners[0].Close())
	}
	conns, err := ListenPacketsNamed("dns")
	require.NoError(t, err)
	require.Len(t, conns, 1)
	require.Equal(t, dnsAddr.String(), conns[0].LocalAddr().String())
	require.NoError(t, conns[0].Close())

	_, err = ListenNamed("dns")
	require.EqualError(t, err, `listen by label "dns": `+entry("dns", dns)+" is not a stream socket")
	_, err = ListenPacketsNamed("web")
	require.EqualError(t, err, `listen by label "web": `+entry("web", web)+" is not a datagram socket")
	_, err = ListenNamed("wep")
	require.EqualError(t, err, `listen by label "wep": not among the labels "web", "admin", "dns"`)
}

func TestListenNamedAlone(t *testing.T) {
	_, err := ListenNamed("web")
	require.ErrorIs(t, err, ErrNoListeningTarget)
	passes(t, "1", "1", "web")
	_, err = ListenNamed("web")
	require.ErrorIs(t, err, ErrNoListeningTarget, "the socket is another process's")
}

func TestLabelsOfSystemd(t *testing.T) {
	passes(t, ownPID, "4", "web:unknown:web:admin")
	found, err := findLabel("web")
	require.NoError(t, err)
	require.Equal(t, []Listener{labelled{"web", 3}, labelled{"web", 5}}, found, "sockets may share a name")

	t.Setenv(labelsEnvVarName, "web=9")
	found, err = findLabel("web")
	require.NoError(t, err)
	require.Equal(t, []Listener{labelled{"web", 9}}, found, "start_server's own variable comes first")
	found, err = findLabel("admin")
	require.NoError(t, err)
	require.Equal(t, []Listener{labelled{"admin", 6}}, found)
	_, err = findLabel("wep")
	require.EqualError(t, err, `not among the labels "web", "unknown", "admin"`, "each once")
}

func TestMalformedLabels(t *testing.T) {
	for labels, want := range map[string]string{
		"web":                 `entry "web": it is not LABEL=FD`,
		"=3":                  `entry "=3": it is not LABEL=FD`,
		"web=3;":              `entry "": it is not LABEL=FD`,
		"web=3=4":             `entry "web=3=4": bad descriptor`,
		"web=-1":              `entry "web=-1": bad descriptor`,
		"web=2147483648":      `entry "web=2147483648": bad descriptor`,
		"web=3;admin=1000000": "",
	} {
		t.Setenv(labelsEnvVarName, labels)
		_, err := findLabel("web")
		if want == "" {
			require.NoError(t, err, labels)
			continue
		}
		require.ErrorContains(t, err, "parse SERVER_STARTER_LABELS: "+want)
	}
	t.Setenv(labelsEnvVarName, "")
	for n, want := range map[string]string{
		"":        `parse LISTEN_FDS: "" is no number of sockets`,
		"0":       `parse LISTEN_FDS: "0" is no number of sockets`,
		"9999999": `parse LISTEN_FDS: "9999999" is no number of sockets`,
		"2":       `parse LISTEN_FDNAMES: "web" names 1 sockets, and LISTEN_FDS is 2`,
	} {
		passes(t, ownPID, n, "web")
		_, err := ListenNamed("web")
		require.ErrorContains(t, err, want)
	}
}
