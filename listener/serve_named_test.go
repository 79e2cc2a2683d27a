//go:build linux || darwin

package listener

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// addresses returns the addresses of the sockets that Serve takes without listeners.
func addresses(t *testing.T, addr string) ([]string, error) {
	t.Helper()
	listeners, err := defaultListeners(cmp.Or(addr, ":http"))
	var bound []string
	for _, ln := range listeners {
		bound = append(bound, ln.Addr().String())
		require.NoError(t, ln.Close())
	}
	return bound, err
}

func TestServeTakesTheSocketThatAddrNames(t *testing.T) {
	app, appAddr := listenTCP(t, "127.0.0.1:0")
	admin, adminAddr := listenTCP(t, "127.0.0.1:0")
	app6, app6Addr := listenTCP(t, "[::1]:0")
	udp, _ := listenUDP(t, "127.0.0.1:0")
	unix, path := listenUnix(t)
	t.Setenv(ServerStarterEnvVarName, entry("8080", app)+";"+entry(adminAddr.String(), admin)+";"+
		entry("[::]:8080", app6)+";"+entry("8081", udp)+";"+entry(path, unix))

	for addr, want := range map[string][]string{
		adminAddr.String():                          {adminAddr.String()},
		fmt.Sprintf("localhost:%d", adminAddr.Port): {adminAddr.String()},
		":8080":        {appAddr.String(), app6Addr.String()}, // both, like net.Listen
		"0.0.0.0:8080": {appAddr.String()},
		"[::]:8080":    {app6Addr.String()},
		path:           {path},
	} {
		got, err := addresses(t, addr)
		require.NoError(t, err, addr)
		require.Equal(t, want, got, addr)
	}
}

func TestServeListsTheSocketsOfWhichAddrNamesNone(t *testing.T) {
	app, _ := listenTCP(t, "127.0.0.1:0")
	unix, path := listenUnix(t)
	spec := entry("8080", app) + ";" + entry(path, unix)
	t.Setenv(ServerStarterEnvVarName, spec)
	for _, addr := range []string{"", ":8081", "127.0.0.1:8080", path + "x"} {
		_, err := addresses(t, addr)
		require.ErrorContains(t, err, "not among the inherited sockets "+spec, addr)
		require.ErrorContains(t, err, "set the server's Addr to one of them", addr)
	}
}

func TestServeTakesTheOnlySocketWhateverAddrSays(t *testing.T) {
	app, appAddr := listenTCP(t, "127.0.0.1:0")
	udp, _ := listenUDP(t, "127.0.0.1:0")
	for _, spec := range []string{entry("8080", app), entry("8081", udp) + ";" + entry("8080", app)} {
		t.Setenv(ServerStarterEnvVarName, spec)
		for _, addr := range []string{"", ":9", "not an address", "/no/such/path"} {
			got, err := addresses(t, addr)
			require.NoError(t, err, addr)
			require.Equal(t, []string{appAddr.String()}, got, addr)
		}
	}
}

func TestServeBindsAPathWhenRunAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listeners, err := defaultListeners(path)
	require.NoError(t, err)
	require.Equal(t, &net.UnixAddr{Name: path, Net: "unix"}, listeners[0].Addr())
	require.NoError(t, listeners[0].Close())
}
