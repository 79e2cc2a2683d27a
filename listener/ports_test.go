package listener

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	t.Parallel()
	cases := []struct {
		given string
		then  []Listener
	}{
		{"8080=3", []Listener{TCPListener{Addr: "0.0.0.0", Port: 8080, fd: 3}}},
		{"80=0", []Listener{TCPListener{Addr: "0.0.0.0", Port: 80, fd: 0}}},
		{"127.0.0.1:8080=4", []Listener{TCPListener{Addr: "127.0.0.1", Port: 8080, fd: 4}}},
		{"[::1]:8080=5", []Listener{TCPListener{Addr: "::1", Port: 8080, fd: 5}}},
		{"[fe80::1%eth0]:8080=5", []Listener{TCPListener{Addr: "fe80::1%eth0", Port: 8080, fd: 5}}},
		{"localhost:8080=6", []Listener{TCPListener{Addr: "localhost", Port: 8080, fd: 6}}},
		{":8080=6", []Listener{TCPListener{Addr: "0.0.0.0", Port: 8080, fd: 6}}},
		{"/tmp/a.sock=7", []Listener{UnixListener{Path: "/tmp/a.sock", fd: 7}}},
		{"/tmp/a=b=c=8", []Listener{UnixListener{Path: "/tmp/a=b=c", fd: 8}}},
		{"/tmp/a:80=8", []Listener{UnixListener{Path: "/tmp/a:80", fd: 8}}},
		{"a.sock=9", []Listener{UnixListener{Path: "a.sock", fd: 9}}},
		{"::1:80=9", []Listener{UnixListener{Path: "::1:80", fd: 9}}},
		{"[::1:80=9", []Listener{UnixListener{Path: "[::1:80", fd: 9}}},
		{"[]:80=9", []Listener{UnixListener{Path: "[]:80", fd: 9}}},
		{"18801=4;[::1]:18803=6;18804=7;/tmp/x.sock=10", []Listener{
			TCPListener{Addr: "0.0.0.0", Port: 18801, fd: 4},
			TCPListener{Addr: "::1", Port: 18803, fd: 6},
			TCPListener{Addr: "0.0.0.0", Port: 18804, fd: 7},
			UnixListener{Path: "/tmp/x.sock", fd: 10},
		}},
	}
	for _, c := range cases {
		t.Run(c.given, func(t *testing.T) {
			t.Parallel()
			ports, err := parse(c.given)
			require.NoError(t, err)
			require.Equal(t, c.then, ports)
		})
	}
}

func TestParseError(t *testing.T) {
	t.Parallel()
	cases := []struct{ given, then string }{
		{"8080", `entry "8080": no = in it`},
		{"8080=3;", `entry "": no = in it`},
		{"=3", `entry "=3": no name before the =`},
		{"8080=", `bad descriptor`},
		{"8080=x", `bad descriptor`},
		{"8080=-1", `bad descriptor`},
		{"8080= 3", `entry "8080= 3"`},
		{"8080=2147483648", `value out of range`},
		{"8080=99999999999999999999", `value out of range`},
		{"65536=3", `bad port`},
		{"localhost:99999999999999999999=3", `bad port`},
		{"8080=3;[::1]:70000=4", `entry "[::1]:70000=4": bad port`},
	}
	for _, c := range cases {
		t.Run(c.given, func(t *testing.T) {
			t.Parallel()
			_, err := parse(c.given)
			require.ErrorContains(t, err, c.then)
			require.ErrorContains(t, err, ServerStarterEnvVarName)
		})
	}
}

func TestNothingInherited(t *testing.T) {
	// Unset is as empty to what reads it: TestMain unset it for other tests.
	t.Setenv(ServerStarterEnvVarName, "")
	_, err := Ports()
	require.ErrorIs(t, err, ErrNoListeningTarget)
	_, err = ListenAll()
	require.ErrorIs(t, err, ErrNoListeningTarget)
	_, err = ListenPackets()
	require.ErrorIs(t, err, ErrNoListeningTarget)

	ln, err := Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err, "a program that runs alone binds")
	require.NoError(t, ln.Close())
	conn, err := ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

func TestGeneration(t *testing.T) {
	for given, then := range map[string]int{"1": 1, "12": 12, "": 0, "x": 0, "-1": 0, "99999999999999999999": 0} {
		t.Setenv(generationEnvVarName, given)
		require.Equal(t, then, Generation(), given)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"18801=4;127.0.0.1:18802=5;[::1]:18803=6;18804=7;localhost:18805=8;/tmp/x.sock=10",
		"", ";", "=", "80", "80=", "=3", "0.0.0.0:80=3", "[0.0.0.0]:080=03", "[80]:80=1", "/a=b:1=2", "[a/b]:80=1", "[::]:65536=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		ports, err := parse(spec)
		if err != nil {
			return
		}
		again, err := parse(List(ports).String())
		require.NoError(t, err)
		require.Equal(t, ports, again)
	})
}
