package socket

import (
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// one parses a list or a path that has one socket.
func one(t *testing.T, ports, paths []string) Spec {
	t.Helper()
	specs, err := Parse(ports, paths)
	require.NoError(t, err, "%q %q", ports, paths)
	require.Len(t, specs, 1, "%q %q", ports, paths)
	return specs[0]
}

func TestOptionsOfAPort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Tuning{
		"80":                           {},
		"80,backlog=5":                 {Backlog: 5},
		"80,backlog=2147483647":        {Backlog: 1<<31 - 1},
		"80,reuseport":                 {Reuseport: true},
		"u80,reuseport":                {Reuseport: true},
		"[::1]:80,v6only=0":            {DualStack: true},
		"[::1]:80,v6only=1":            {},
		"80,ipv4":                      {Family: 4},
		"localhost:80,ipv4":            {Family: 4},
		"localhost:80,ipv6":            {Family: 6},
		"[::1]:80,ipv6":                {Family: 6},
		"80,nodelay":                   {NoDelay: true},
		"80,nonblock":                  {Nonblock: true},
		"u80,nonblock":                 {Nonblock: true},
		"80, backlog = 5 , reuseport ": {Backlog: 5, Reuseport: true},
		"fd://7,backlog=5,nodelay":     {Backlog: 5, NoDelay: true},
		"a@127.0.0.1:80=5,nodelay,nonblock,reuseport": {NoDelay: true, Nonblock: true, Reuseport: true},
	} {
		assert.Equal(t, want, one(t, []string{text}, nil).Tuning, text)
	}
	if runtime.GOOS == "linux" {
		assert.Equal(t, Tuning{DeferAccept: true, FastOpen: 9}, one(t, []string{"80,defer-accept,fastopen=9"}, nil).Tuning)
	} else {
		_, err := Parse([]string{"80,defer-accept"}, nil)
		assert.EqualError(t, err, `port "80": option "defer-accept" is not known to this system`)
	}
}

func TestOptionsOfAPath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Spec{
		"/s,mode=0660":          {Path: "/s", Tuning: Tuning{Mode: 0o660, HasMode: true}},
		"/s,mode=777":           {Path: "/s", Tuning: Tuning{Mode: 0o777, HasMode: true}},
		"/s,mode=0":             {Path: "/s", Tuning: Tuning{HasMode: true}},
		"/s,owner=a,group=b":    {Path: "/s", Tuning: Tuning{Owner: "a", Group: "b"}},
		"/s,backlog=3,nonblock": {Path: "/s", Tuning: Tuning{Backlog: 3, Nonblock: true}},
		"/s,a.b,nonblock":       {Path: "/s,a.b", Tuning: Tuning{Nonblock: true}},
		"/s,nonblock,a":         {Path: "/s,nonblock,a"},
		"/s,a.c=b":              {Path: "/s,a.c=b"},
		"/s,":                   {Path: "/s,"},
		"/s,,nonblock":          {Path: "/s,", Tuning: Tuning{Nonblock: true}},
		"web@/s":                {Label: "web", Path: "/s"},
		"web@./s,nonblock":      {Label: "web", Path: "./s", Tuning: Tuning{Nonblock: true}},
		"user@host.sock":        {Path: "user@host.sock"},
		"/srv/app@/s":           {Path: "/srv/app@/s"},
		"sub/app@/s":            {Path: "sub/app@/s"},
		"a@b@/s":                {Path: "a@b@/s"},
		strings.Repeat("a", 50) + "@/" + strings.Repeat("x", 102): {Label: strings.Repeat("a", 50), Path: "/" + strings.Repeat("x", 102)},
	} {
		s := one(t, nil, []string{text})
		s.Text = ""
		want.Pin = -1
		assert.Equal(t, want, s, text)
	}
}

func TestOptionThatMakesNoSenseIsNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"80,mode=600":                    `port "80": option "mode=600" is for paths only`,
		"80,owner=a":                     `port "80": option "owner=a" is for paths only`,
		"80,group=a":                     `port "80": option "group=a" is for paths only`,
		"80=5,v6only=0":                  `port "80=5": option "v6only=0" is for IPv6 addresses only`,
		"localhost:80,v6only=1":          `option "v6only=1" is for IPv6 addresses only`,
		"u80,nodelay":                    `port "u80": option "nodelay" is for TCP ports and fd:// only`,
		"u80,backlog=5":                  `option "backlog=5" is for TCP ports, paths and fd:// only`,
		"u80,defer-accept":               `option "defer-accept" is for TCP ports and fd:// only`,
		"u80,fastopen=5":                 `option "fastopen=5" is for TCP ports and fd:// only`,
		"fd://3,reuseport":               `port "fd://3": option "reuseport" is for ports only`,
		"fd://3,v6only=0":                `option "v6only=0" is for IPv6 addresses only`,
		"fd://3,mode=600":                `option "mode=600" is for paths only`,
		"fd://3,owner=a":                 `option "owner=a" is for paths only`,
		"80,nodelay,nodelay":             `port "80": option "nodelay" is given twice`,
		"80,backlog=1,backlog=2":         `port "80": option "backlog=2" is given twice`,
		"80,backlog":                     `port "80": option "backlog" needs a value, backlog=N`,
		"80,backlog=":                    `option "backlog=" needs a value, backlog=N`,
		"80,backlog=0":                   `option "backlog=0" is not a number from 1 to 2147483647`,
		"80,backlog=-1":                  `option "backlog=-1" is not a number from 1 to 2147483647`,
		"80,backlog=2147483648":          `option "backlog=2147483648" is not a number`,
		"80,nodelay=1":                   `option "nodelay=1" takes no value`,
		"80,reuseport=":                  `option "reuseport=" takes no value`,
		"[::1]:80,v6only=2":              `option "v6only=2" is not 0 or 1`,
		"[::1]:80,v6only":                `option "v6only" needs a value, v6only=0|1`,
		"nodelay":                        `option "nodelay": there is no port before it`,
		"backlog=5,80":                   `option "backlog=5": there is no port before it`,
		"localhost:80,ipv4,ipv6":         `port "localhost:80": option "ipv6" is not for a port that is to be of the other family`,
		"80,abc":                         `port "abc": "abc" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]; the options are backlog`,
		"80,zyx":                         `[,OPTION...]; the options are backlog`,
		"80,nodely":                      `port "nodely": "nodely" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]; the options are backlog, reuseport, v6only, ipv4, ipv6, nodelay, defer-accept, fastopen, nonblock`,
		"fd://x":                         `port "fd://x": descriptor "x" is not a number from 0 to 1048575; the form is fd://N[=FD]`,
		"fd://":                          `descriptor "" is not a number`,
		"fd://-1":                        `descriptor "-1" is not a number`,
		"fd://3=x":                       `descriptor "x" is not a number from 0 to 1048575`,
		"fd://3,a@fd://3=9":              `socket "a@fd://3=9": it is asked for twice`,
		"@80":                            `port "@80": the label before the @ is empty`,
		"a b@80":                         `port "a b@80": label "a b" holds ' '; it may have printable ASCII but blanks and : ; = , @ /`,
		"a:b@80":                         `label "a:b" holds ':'`,
		"a=b@80":                         `label "a=b" holds '='`,
		"a/b@80":                         `label "a/b" holds '/'`,
		"é@80":                           `label "é" holds 'é'`,
		"a@b@80":                         `port "a@b@80": "b@80" is not a port number`,
		"a@b@c:80":                       `"b@c" is neither an address nor a host name`,
		strings.Repeat("a", 256) + "@80": `the label before the @ has 256 characters; 255 fit`,
	} {
		_, err := Parse([]string{text}, nil)
		if assert.ErrorContains(t, err, want, text) {
			assert.NotContains(t, err.Error(), "\n", "one line for one fault: %s", text)
		}
	}
	for path, want := range map[string]string{
		"/s,reuseport":                   `path "/s": option "reuseport" is for ports only`,
		"/s,v6only=0":                    `path "/s": option "v6only=0" is for IPv6 addresses only`,
		"/s,nodelay":                     `path "/s": option "nodelay" is for TCP ports and fd:// only`,
		"/s,mode=800":                    `path "/s": option "mode=800" is not octal permissions from 0 to 777`,
		"/s,mode=1777":                   `option "mode=1777" is not octal permissions`,
		"/s,mode=rw":                     `option "mode=rw" is not octal permissions`,
		"/s,owner=":                      `option "owner=" needs a value, owner=USER`,
		"/s,mode=6,mode=7":               `option "mode=7" is given twice`,
		"/s,owner=a;b":                   `option "owner=a;b" holds a semicolon, newline or NUL`,
		",mode=600":                      `path: it is empty`,
		"@/s":                            `path "@/s": the label before the @ is empty`,
		"a b@/s":                         `path "a b@/s": label "a b" holds ' '`,
		"@/a\n":                          `the label before the @ is empty`,
		"l@/" + strings.Repeat("x", 107): "108 bytes are too long",
	} {
		_, err := Parse(nil, []string{path})
		if assert.ErrorContains(t, err, want, path) {
			assert.NotContains(t, err.Error(), "\n", "one line for one fault: %s", path)
		}
	}
}

func TestEveryFaultOfAnOptionIsNamedBesideThatOfItsPort(t *testing.T) {
	t.Parallel()
	_, err := Parse([]string{"x,backlog=y,nodelay=1", "80,mode=1"}, []string{"/s,mode=9,reuseport"})
	require.Error(t, err)
	assert.Equal(t, []string{
		`port "x": "x" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`,
		`port "x": option "backlog=y" is not a number from 1 to 2147483647`,
		`port "x": option "nodelay=1" takes no value`,
		`port "80": option "mode=1" is for paths only`,
		`path "/s": option "mode=9" is not octal permissions from 0 to 777`,
		`path "/s": option "reuseport" is for ports only`,
	}, strings.Split(err.Error(), "\n"))
}

func TestOptionBelongsToThePortBeforeIt(t *testing.T) {
	t.Parallel()
	specs, err := Parse([]string{"8080,backlog=5,reuseport,8081", "8082,nodelay"}, nil)
	require.NoError(t, err)
	any4 := netip.IPv4Unspecified()
	assert.Equal(t, []Spec{
		{Text: "8080", IP: any4, Port: 8080, Pin: -1, Tuning: Tuning{Backlog: 5, Reuseport: true}},
		{Text: "8081", IP: any4, Port: 8081, Pin: -1},
		{Text: "8082", IP: any4, Port: 8082, Pin: -1, Tuning: Tuning{NoDelay: true}},
	}, specs)
}

func TestLabels(t *testing.T) {
	t.Parallel()
	any4 := netip.IPv4Unspecified()
	for text, want := range map[string]Spec{
		"web@80":                              {Label: "web", IP: any4, Port: 80, Pin: -1},
		" web@127.0.0.1:u80=5":                {Label: "web", Host: "127.0.0.1", IP: netip.MustParseAddr("127.0.0.1"), Port: 80, UDP: true, Pin: 5},
		"web@[::1]:80":                        {Label: "web", Host: "::1", IP: netip.MustParseAddr("::1"), Port: 80, Pin: -1},
		"[fe80::1%a@b]:80":                    {Host: "fe80::1%a@b", IP: netip.MustParseAddr("fe80::1%a@b"), Port: 80, Pin: -1},
		"!#$[x]~@80":                          {Label: "!#$[x]~", IP: any4, Port: 80, Pin: -1},
		strings.Repeat("a", maxLabel) + "@80": {Label: strings.Repeat("a", maxLabel), IP: any4, Port: 80, Pin: -1},
		"fd://0":                              {Pin: -1, Taken: true},
		"web@fd://12=4":                       {Label: "web", Pin: 4, Taken: true, Source: 12},
	} {
		want.Text = strings.TrimSpace(text)
		assert.Equal(t, want, one(t, []string{text}, nil), text)
	}
	_, err := Parse([]string{"web@80,web@81"}, []string{"web@/s"})
	assert.EqualError(t, err, `port "web@81": label "web" is also given to "web@80"
path "web@/s": label "web" is also given to "web@81"`)
	specs, err := Parse(nil, nil, Inherited(3, "web"), Inherited(4, "web"))
	require.NoError(t, err, "but systemd may name several so")
	assert.Len(t, specs, 2)
}

func TestLabelsAndOptionsMakeNoOtherSocket(t *testing.T) {
	t.Parallel()
	for _, ports := range []string{"80,a@80", "a@80,b@80", "80,nodelay,80,backlog=5", "[::]:80,[::]:80,v6only=0", "80,reuseport,80,reuseport", "127.0.0.1:80,ipv4,127.0.0.1:80", "localhost:80,ipv6,localhost:80,ipv6"} {
		_, err := Parse([]string{ports}, nil)
		assert.ErrorContains(t, err, "it is asked for twice", ports)
	}
	_, err := Parse(nil, []string{"/s,mode=600", "a@/s"})
	assert.EqualError(t, err, `path "a@/s": it is asked for twice`)
}

func TestInheritedIsTheSameAsByHand(t *testing.T) {
	t.Parallel()
	want := one(t, []string{"web@fd://7"}, nil)
	want.Text = "fd://7"
	assert.Equal(t, want, Inherited(7, "web"))
}

func TestMistypedOptionOfAPathIsNoFile(t *testing.T) {
	t.Parallel()
	for path, item := range map[string]string{
		"/s,mod=600":        "mod=600",
		"/s,MODE=600":       "MODE=600",
		"/s,mode=600,frob=": "frob=",
		"/s,frob,mode=600":  "frob",
	} {
		_, err := Parse(nil, []string{path})
		assert.ErrorContains(t, err, `: option "`+item+`" is not one of backlog, mode, owner, group, nonblock`, path)
	}
	for _, path := range []string{"/s,frob", "/a,b/s", "/s,v2=1", "/x=1,a.sock,mode=600"} {
		_, err := Parse(nil, []string{path})
		assert.NoError(t, err, path)
	}
}
