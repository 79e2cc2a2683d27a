package fdenv

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func tcp(address string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		panic(err)
	}
	return a
}

var several = []Socket{
	{Name: "8080", Label: "web", Addr: tcp("0.0.0.0:8080"), FD: 3},
	{Name: "localhost:8081", Addr: tcp("127.0.0.1:8081"), FD: 4},
	{Name: "[::1]:8082", Addr: tcp("[::1]:8082"), FD: 5},
	{Name: "/run/a.sock", Label: "api", Addr: &net.UnixAddr{Name: "/run/a.sock", Net: "unix"}, FD: 6},
}

func parseOne(t *testing.T, name string) Export {
	t.Helper()
	found, err := ParseExports([]string{name})
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func TestEnvironOfEachConvention(t *testing.T) {
	told := map[string][]string{
		"systemd": {"LISTEN_FDS=4", "LISTEN_FDNAMES=web:unknown:unknown:api"},
		"einhorn": {
			"EINHORN_FD_COUNT=4", "EINHORN_FDS=3 4 5 6", "EINHORN_MASTER_PID=77", "EINHORN_CHILD_INDEX=2",
			"EINHORN_FD_0=3", "EINHORN_FD_FAMILY_0=AF_INET", "EINHORN_FD_1=4", "EINHORN_FD_FAMILY_1=AF_INET",
			"EINHORN_FD_2=5", "EINHORN_FD_FAMILY_2=AF_INET6", "EINHORN_FD_3=6", "EINHORN_FD_FAMILY_3=AF_UNIX",
			"EINHORN_SOCK_PATH=/run/ctl",
		},
		"unicorn": {"UNICORN_FD=3,4,5,6"},
		"puma": {
			"PUMA_INHERIT_0=3:tcp://0.0.0.0:8080", "PUMA_INHERIT_1=4:tcp://localhost:8081",
			"PUMA_INHERIT_2=5:tcp://[::1]:8082", "PUMA_INHERIT_3=6:unix:///run/a.sock",
		},
		"nginx":   {"NGINX=3;4;5;6;"},
		"php-fpm": {"FPM_SOCKETS=0.0.0.0:8080=3,127.0.0.1:8081=4,[::1]:8082=5,/run/a.sock=6"},
	}
	for _, e := range exports {
		require.Contains(t, told, e.Name)
		assert.Equal(t, told[e.Name], e.Environ(several, Worker{Master: 77, Control: "/run/ctl", Slot: 2}), e.Name)
		assert.NoError(t, e.Check(several), e.Name)
	}
	assert.NotContains(t, parseOne(t, "einhorn").Environ(several, Worker{Master: 77}), "EINHORN_SOCK_PATH=")
}

func TestOwnPIDIsForSystemdOnly(t *testing.T) {
	for _, e := range exports {
		want := map[bool]string{true: "LISTEN_PID"}[e.Name == "systemd"]
		assert.Equal(t, want, e.OwnPID, e.Name)
	}
}

func TestStaleVariablesAreItsOwn(t *testing.T) {
	assert.True(t, parseOne(t, "puma").Owns("PUMA_INHERIT_12"))
	assert.True(t, parseOne(t, "einhorn").Owns("EINHORN_FD_9"))
	assert.True(t, parseOne(t, "nginx").Owns("NGINX"))
	assert.False(t, parseOne(t, "nginx").Owns("NGINX_HOME"))
	assert.False(t, parseOne(t, "systemd").Owns("LISTEN_ADDRESS"))
}

func TestOnlySystemdsVariablesAreOfOurOwnSockets(t *testing.T) {
	for _, name := range []string{"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"} {
		assert.True(t, ForUs(name), name)
	}
	for _, name := range []string{"LISTEN_FDS_", "NGINX", "EINHORN_FDS", ""} {
		assert.False(t, ForUs(name), name)
	}
}

func TestDatagramSocketsAreToldOfToo(t *testing.T) {
	sockets := []Socket{
		{Name: "53", FD: 3, Addr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53}},
		{Name: "[::1]:54", FD: 4, Addr: &net.UDPAddr{IP: net.IPv6loopback, Port: 54}},
	}
	told := parseOne(t, "einhorn").Environ(sockets, Worker{})
	assert.Contains(t, told, "EINHORN_FD_FAMILY_0=AF_INET")
	assert.Contains(t, told, "EINHORN_FD_FAMILY_1=AF_INET6")
	args, err := Expand([]string{"{port:0}", "{port:1}"}, sockets)
	require.NoError(t, err)
	assert.Equal(t, []string{"53", "54"}, args)
}

func TestParseExports(t *testing.T) {
	found, err := ParseExports([]string{"systemd, puma", "nginx"})
	require.NoError(t, err)
	require.Len(t, found, 3)
	assert.Equal(t, "nginx", found[2].Name)

	_, err = ParseExports([]string{"sistemd,puma", "puma,"})
	assert.EqualError(t, err, `export "sistemd": there are only systemd, einhorn, unicorn, puma, nginx, php-fpm
export "puma": it is asked for twice
export "": there are only systemd, einhorn, unicorn, puma, nginx, php-fpm`)
}

func TestContradictions(t *testing.T) {
	gap := []Socket{{Name: "8080", FD: 3}, {Name: "8081", FD: 5}}
	assert.EqualError(t, parseOne(t, "systemd").Check(gap),
		`export "systemd": the sockets must be at descriptors from 3 on, in the order given, and "8081" is at 5: do not pin it there`)
	assert.Error(t, parseOne(t, "systemd").Check([]Socket{{FD: 4}, {FD: 3}}), "LISTEN_FDNAMES would name the wrong ones")
	assert.NoError(t, parseOne(t, "nginx").Check(gap))

	datagrams := []Socket{{Name: "53", FD: 3, Addr: &net.UDPAddr{Port: 53}}}
	for name, takes := range map[string]bool{"systemd": true, "einhorn": true, "nginx": true, "unicorn": false, "puma": false, "php-fpm": false} {
		assert.Equal(t, takes, parseOne(t, name).Check(datagrams) == nil, name)
	}
}

func TestExpand(t *testing.T) {
	args, err := Expand([]string{"app", "--fd={fd:web}", "{fd:0},{fd:3}", "{fd:[::1]:8082}", "{port:localhost:8081}", "{port:1}", "{fd:/run/a.sock}",
		"{", "{}", "{fd", "{other:0}", `{"fd":{"fd":1}}`, "{{fd:api}}"}, several)
	require.NoError(t, err)
	assert.Equal(t, []string{"app", "--fd=3", "3,6", "5", "8081", "8081", "6",
		"{", "{}", "{fd", "{other:0}", `{"fd":{"fd":1}}`, "{6}"}, args)
}

func TestExpandPrefersLabelThenNameThenPlace(t *testing.T) {
	sockets := []Socket{{Name: "1", FD: 3}, {Name: "0", FD: 4}, {Name: "7", Label: "0", FD: 5}}
	args, err := Expand([]string{"{fd:0}", "{fd:1}", "{fd:2}"}, sockets)
	require.NoError(t, err)
	assert.Equal(t, []string{"5", "3", "5"}, args)
}

func TestExpandFails(t *testing.T) {
	twins := append([]Socket{{Name: "1", Label: "web", FD: 9}}, several...)
	for arg, want := range map[string]string{
		"{fd:x}":     `argument "{fd:x}": {fd:x} names no socket; there are 0 (web), 1 (localhost:8081), 2 ([::1]:8082), 3 (api)`,
		"{fd:4}":     `argument "{fd:4}": {fd:4} names no socket; there are 0 (web), 1 (localhost:8081), 2 ([::1]:8082), 3 (api)`,
		"{fd:}":      `argument "{fd:}": {fd:} names no socket; there are 0 (web), 1 (localhost:8081), 2 ([::1]:8082), 3 (api)`,
		"{port:api}": `argument "{port:api}": {port:api} is a unix socket, which has no port`,
	} {
		_, err := Expand([]string{arg}, several)
		assert.EqualError(t, err, want)
	}
	args, err := Expand([]string{"{fd:1}"}, []Socket{{FD: 3}, {FD: 4}})
	assert.NoError(t, err, "before they are bound they have no names")
	assert.Equal(t, []string{"4"}, args)
	_, err = Expand([]string{"{fd:web}"}, twins)
	assert.EqualError(t, err, `argument "{fd:web}": {fd:web} could be any of 2 sockets: give its place, from 0 on`)
	_, err = Expand([]string{"{fd:0}"}, nil)
	assert.EqualError(t, err, `argument "{fd:0}": {fd:0} names no socket; there are none`)
}

func FuzzExpand(f *testing.F) {
	f.Add("--fd={fd:web}{port:0}{")
	f.Fuzz(func(t *testing.T, arg string) {
		args, err := Expand([]string{arg}, several)
		if err == nil {
			again, err := Expand(args, several)
			if assert.NoError(t, err) && len(args[0]) == len(arg) {
				assert.Equal(t, arg, again[0], "nothing was there to expand")
			}
		}
	})
}
