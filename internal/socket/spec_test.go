package socket

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPortForms(t *testing.T) {
	t.Parallel()
	any4, loop4, loop6 := netip.IPv4Unspecified(), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	for text, want := range map[string]Spec{
		"80":                       {IP: any4, Port: 80, Pin: -1},
		"0":                        {IP: any4, Pin: -1},
		"65535":                    {IP: any4, Port: 65535, Pin: -1},
		"u53":                      {IP: any4, Port: 53, UDP: true, Pin: -1},
		"80=0":                     {IP: any4, Port: 80, Pin: 0},
		"u53=1048575":              {IP: any4, Port: 53, UDP: true, Pin: maxFD},
		"127.0.0.1:80":             {Host: "127.0.0.1", IP: loop4, Port: 80, Pin: -1},
		"127.0.0.1:u53=7":          {Host: "127.0.0.1", IP: loop4, Port: 53, UDP: true, Pin: 7},
		"[127.0.0.1]:80":           {Host: "127.0.0.1", IP: loop4, Port: 80, Pin: -1},
		"0.0.0.0:80":               {Host: "0.0.0.0", IP: any4, Port: 80, Pin: -1},
		"[::1]:80":                 {Host: "::1", IP: loop6, Port: 80, Pin: -1},
		"[0:0:0:0:0:0:0:1]:u53=3":  {Host: "0:0:0:0:0:0:0:1", IP: loop6, Port: 53, UDP: true, Pin: 3},
		"[::]:80":                  {Host: "::", IP: netip.IPv6Unspecified(), Port: 80, Pin: -1},
		"localhost:80":             {Host: "localhost", Port: 80, Pin: -1},
		"a-1.example.org:80":       {Host: "a-1.example.org", Port: 80, Pin: -1},
		" \t127.0.0.1 : u 53 = 7 ": {Host: "127.0.0.1", IP: loop4, Port: 53, UDP: true, Pin: 7},
		"[ ::1 ] : 80":             {Host: "::1", IP: loop6, Port: 80, Pin: -1},
	} {
		want.Text = strings.TrimSpace(text)
		specs, err := Parse([]string{text}, nil)
		if assert.NoError(t, err, text) {
			assert.Equal(t, []Spec{want}, specs, text)
		}
	}
}

func TestBadPortIsNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                 `port "": "" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`,
		"x":                `port "x": "x" is not a port number`,
		"65536":            `port "65536": "65536" is not a port number`,
		"-1":               `"-1" is not a port number`,
		"+80":              `"+80" is not a port number`,
		"0x50":             `"0x50" is not a port number`,
		"uu53":             `"u53" is not a port number`,
		"U53":              `"U53" is not a port number`,
		"u":                `"" is not a port number`,
		"=3":               `port "=3": "" is not a port number`,
		"80=":              `port "80=": descriptor "" is not a number from 0 to 1048575`,
		"80=x":             `descriptor "x" is not`,
		"80=-1":            `descriptor "-1" is not`,
		"80=1048576":       `descriptor "1048576" is not`,
		"80=3=4":           `descriptor "3=4" is not`,
		":80":              `the host before the colon is empty`,
		"127.0.0.1:":       `"" is not a port number`,
		"::1:80":           `an IPv6 address stands in brackets, as in [::1]:8080`,
		"[::1]":            `the port is missing behind the address`,
		"[::1]80":          `the port is missing behind the address`,
		"[::1:80":          `what stands in brackets is not an IPv6 address`,
		"[localhost]:80":   `what stands in brackets is not an IPv6 address`,
		"127.0.0.256:80":   `"127.0.0.256" is neither an address nor a host name`,
		"127.1:80":         `"127.1" is neither an address nor a host name`,
		"a b:80":           `"a b" is neither an address nor a host name`,
		"http://host:8080": `an IPv6 address stands in brackets`,
		"80,":              `port "": "" is not a port number`,
	} {
		_, err := Parse([]string{text}, nil)
		if assert.ErrorContains(t, err, want, text) {
			assert.NotContains(t, err.Error(), "\n", "one line for one fault: %s", text)
		}
	}
}

func TestBadPathIsNamed(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"":                                  "path: it is empty",
		"/a;b":                              `path "/a;b": a semicolon, newline or NUL cannot be told to the worker`,
		"/a\nb":                             `path "/a\nb": a semicolon`,
		"/a\x00b":                           `path "/a\x00b": a semicolon`,
		"/" + strings.Repeat("x", 107):      "108 bytes are too long for a unix socket; ",
		"/\n" + strings.Repeat("x", 1<<10):  "a semicolon",
		"sub/" + strings.Repeat("x", 1<<10): "1028 bytes are too long",
	} {
		_, err := Parse(nil, []string{path})
		if assert.ErrorContains(t, err, want) {
			assert.NotContains(t, err.Error(), "\n", "one line for one fault")
		}
	}
}

// What a name is made of ends up in SERVER_STARTER_PORT, where a semicolon
// ends it and a NUL ends everything.
func TestHostThatCannotBeToldToTheWorkerIsRefused(t *testing.T) {
	t.Parallel()
	for _, port := range []string{"[::1%a;b]:80", "a;b:80", "[fe80::1%a\nb]:80", "[fe80::1%a\x00b]:80", "a\x00b:80", "a\nb:80"} {
		_, err := Parse([]string{port}, nil)
		assert.Error(t, err, "%q", port)
	}
}

func TestPortsComeBeforePathsAndListsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	specs, err := Parse([]string{"3,1", " 2 , u1 "}, []string{"/b", "/a,c"})
	require.NoError(t, err)
	var texts []string
	for _, s := range specs {
		texts = append(texts, s.Text)
	}
	assert.Equal(t, []string{"3", "1", "2", "u1", "/b", "/a,c"}, texts)
	assert.Equal(t, Spec{Text: "/b", Path: "/b", Pin: -1}, specs[4])
}

func TestNothingAskedForIsNoFault(t *testing.T) {
	t.Parallel()
	specs, err := Parse(nil, nil)
	require.NoError(t, err)
	assert.Empty(t, specs)
}

func TestEveryFaultIsNamed(t *testing.T) {
	t.Parallel()
	_, err := Parse([]string{"x,80", "80", "y", "1=5,2=5"}, []string{"", "/a", "/a"})
	require.Error(t, err)
	assert.Equal(t, []string{
		`port "x": "x" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`,
		`port "y": "y" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`,
		`path: it is empty`,
		`port "80": it is asked for twice`,
		`port "2=5": descriptor 5 is also asked for by "1=5"`,
		`path "/a": it is asked for twice`,
	}, strings.Split(err.Error(), "\n"))
}

func TestWhatIsNotTheSameSocketMayStandBesideIt(t *testing.T) {
	t.Parallel()
	_, err := Parse([]string{"80", "u80", "127.0.0.1:80", "[::1]:80", "localhost:80,ipv4", "localhost:80,ipv6", "0", "0", "u0", "u0"}, []string{"80"})
	assert.NoError(t, err)
}

func TestSameSocketTwiceIsRefusedWhateverItsPin(t *testing.T) {
	t.Parallel()
	for _, ports := range []string{"80,80", "80,080", "80=4,80=5", "80,80=5", "u80, u 80", "[::1]:80,[::1]:80"} {
		_, err := Parse([]string{ports}, nil)
		assert.ErrorContains(t, err, "it is asked for twice", ports)
	}
}

func TestDescriptorsCountFromThreeAroundThePinned(t *testing.T) {
	t.Parallel()
	for ports, want := range map[string][]int{
		"1,2,3":             {3, 4, 5},
		"1=3,2,3":           {3, 4, 5},
		"1,2=3,3":           {4, 3, 5},
		"1,2,3=3":           {4, 5, 3},
		"1=4,2,3=6,4,5":     {4, 3, 6, 5, 7},
		"1=0,2=1,3=2,4":     {0, 1, 2, 3},
		"1,2=5,3=4,4=3,5":   {6, 5, 4, 3, 7},
		"1=1000,2":          {1000, 3},
		"1,2=1048575,3,4=3": {4, maxFD, 5, 3},
	} {
		specs, err := Parse([]string{ports}, nil)
		require.NoError(t, err, ports)
		assert.Equal(t, want, number(specs), ports)
	}
}

func TestNameIsTheHostAsWrittenAndNeverTheU(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0":                      "4711",
		"u0=5":                   "4711",
		"127.0.0.1:u0":           "127.0.0.1:4711",
		"LocalHost:0":            "LocalHost:4711",
		"[0:0:0:0:0:0:0:1]:0=40": "[0:0:0:0:0:0:0:1]:4711",
	} {
		specs, err := Parse([]string{text}, nil)
		require.NoError(t, err, text)
		assert.Equal(t, want, specs[0].name(4711), text)
	}
}

func TestStandardInputIsForOneSocket(t *testing.T) {
	t.Parallel()
	_, err := Parse([]string{"127.0.0.1:80=0", "127.0.0.1:81=0"}, nil)
	assert.EqualError(t, err, `port "127.0.0.1:81=0": descriptor 0 is also asked for by "127.0.0.1:80=0"`)
}
