package launch

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/require"
)

// roleVariable makes the test binary another program: the value names it.
const roleVariable = "LAUNCH_TEST_ROLE"

var roles = map[string]func(){"show": show}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		roles[role]()
		syscall.Exit(0) // os.Exit may print something about coverage
	}
	os.Exit(m.Run())
}

// show is a worker that prints all that it was given, except its role.
func show() {
	fmt.Println("args", strings.Join(os.Args[1:], " "))
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool { return nameOf(pair) == roleVariable })
	slices.Sort(env)
	for _, pair := range env {
		fmt.Println("env", pair)
	}
}

// worker is a program that the test binary plays.
func worker(t *testing.T, role string, args ...string) (Program, func() (Environ, supervise.Settings, error)) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	env := func() (Environ, supervise.Settings, error) {
		return Environ{roleVariable + "=" + role}, supervise.Settings{}, nil
	}
	return Program{Command: append([]string{self}, args...)}, env
}

// log is the output of a Spawner, and what was written to it.
type log struct {
	*output.Output
	text testkit.Output
}

func newLog() *log {
	l := &log{}
	l.Output = output.New(&l.text, "a test")
	return l
}

// written is what was written so far.
func (l *log) written() string {
	l.Flush()
	return l.text.String()
}

// bind binds sockets until the test ends.
func bind(t *testing.T, o socket.Options, ports ...string) *socket.Set {
	t.Helper()
	specs, err := socket.Parse(ports, nil)
	require.NoError(t, err)
	set, err := socket.Bind(t.Context(), specs, o)
	require.NoError(t, err)
	t.Cleanup(func() { set.Close() })
	return set
}

// named are sockets that need not be bound, as workers are only told of them.
func named() *socket.Set {
	return &socket.Set{Sockets: []socket.Socket{
		{Spec: socket.Spec{Label: "web"}, Name: "8080", FD: 3, Addr: &net.TCPAddr{IP: net.IPv4zero, Port: 8080}},
		{Name: "/run/a.sock", FD: 4, Addr: &net.UnixAddr{Name: "/run/a.sock", Net: "unix"}},
	}}
}

// exports are conventions by their names.
func exports(t *testing.T, names ...string) []fdenv.Export {
	t.Helper()
	found, err := fdenv.ParseExports(names)
	require.NoError(t, err)
	return found
}

// noProcess fails if a worker was started.
func noProcess(t *testing.T, p supervise.Process) {
	t.Helper()
	if p, ok := p.(*proc.Process); ok && p != nil {
		_ = p.Signal(os.Kill)
		p.Wait()
		t.Fatal("a worker was started")
	}
	require.True(t, p == nil, "an interface that holds a nil")
}
