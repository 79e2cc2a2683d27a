//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/pages"
)

// A superdaemon that comes is found, one that goes is missed, and one that comes again is
// found again. The watch on the directories does it: the rescan is too slow.
func TestSuperdaemonsComeAndGo(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	m := runs(t, "--rescan=1h", filepath.Join(dir, "*/*.ctl"))
	code, body := m.get(t, "/healthz")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Equal(t, dir+"/*/*.ctl: no superdaemon is there\n", body)
	eventually(t, func() bool {
		return strings.Contains(m.out.String(), `*.ctl" matches no control socket: waiting for one`)
	}, m.out.String)

	path := filepath.Join(dir, "run", "a.ctl")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	for range 2 {
		goes := plays(t, path, serving(os.Getpid()))
		m.becomes(t, http.StatusOK, "ok: 1 serving\n")
		goes()
		m.becomes(t, http.StatusServiceUnavailable, path+`: control socket "`+path+`": no superdaemon listens there`+"\n")
	}
}

// becomes waits until /healthz gives that answer.
func (m *monitor) becomes(t *testing.T, code int, body string) {
	t.Helper()
	var now string
	eventually(t, func() bool {
		is, text := m.get(t, "/healthz")
		now = text
		return is == code && text == body
	}, func() string { return now + m.out.String() })
}

// A superdaemon that is named by its path is reported missing even if nothing is there. One that was
// found by a glob is forgotten when it has been gone for long.
func TestWhatIsGoneIsForgotten(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	named, found := filepath.Join(dir, "named"), filepath.Join(dir, "a.ctl")
	m := runs(t, "--rescan=1", "--forget=1", named, filepath.Join(dir, "*.ctl"))
	a, b := plays(t, named, serving(os.Getpid())), plays(t, found, serving(os.Getpid()))
	m.becomes(t, http.StatusOK, "ok: 2 serving\n")
	b()
	eventually(t, func() bool { return strings.Contains(m.out.String(), found+" is gone for 1s, and forgotten") }, m.out.String)
	m.becomes(t, http.StatusOK, "ok: 1 serving\n")
	a()
	m.becomes(t, http.StatusServiceUnavailable, named+`: control socket "`+named+`": no superdaemon listens there`+"\n")
}

// mute makes a control socket that accepts and never answers.
func mute(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
}

// A superdaemon that does not answer delays no reader: what is known of the others comes at once,
// and is new.
func TestOneThatDoesNotAnswerDelaysNobody(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	mute(t, filepath.Join(dir, "mute.ctl"))
	stopped := control.Status{Pid: 1, State: "serving"}
	hold := make(chan struct{})
	defer close(hold)
	asked := make(chan struct{}, 100)
	s, err := control.Listen(filepath.Join(dir, "stops.ctl"), control.Config{
		Do: func(_ control.Peer, r control.Request) control.Answer {
			if r.Command == "subscribe" {
				return control.Subscription()
			}
			asked <- struct{}{}
			if len(asked) > 1 {
				<-hold
			}
			return control.Answer{OK: true, Status: &stopped}
		},
		Refused: func(string, int) {},
	})
	require.NoError(t, err)
	defer s.Close()
	plays(t, filepath.Join(dir, "well.ctl"), serving(os.Getpid()))
	m := runs(t, filepath.Join(dir, "*.ctl"))
	up := `start_server_up{control="` + dir + `/well.ctl"} 1`
	eventually(t, func() bool { _, text := m.get(t, "/metrics"); return strings.Contains(text, up) }, m.out.String)
	eventually(t, func() bool { _, text := m.get(t, "/metrics"); return strings.Contains(text, up) && len(asked) > 1 }, m.out.String)
	m.get(t, "/metrics") // waits for it, once
	var slow int
	for began := time.Now(); time.Since(began) < 2*time.Second; { // while its answer is still missing
		asked := time.Now()
		_, text := m.get(t, "/metrics")
		assert.Contains(t, text, up)
		if time.Since(asked) >= 500*time.Millisecond {
			slow++
		}
	}
	assert.LessOrEqual(t, slow, 2)
	eventually(t, func() bool {
		_, text := m.get(t, "/healthz")
		return strings.Contains(text, "/mute.ctl") && strings.Contains(text, "it does not answer within 3s") && strings.Contains(text, "/stops.ctl")
	}, m.out.String)
}

func TestServesOnAUnixSocketAndTakesTheStaleOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "http")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	runs(t, "--listen=unix:"+path, path+".ctl")
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprint(conn, "GET /readyz HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	answer.Body.Close()
	assert.NotZero(t, answer.StatusCode)
}

// TERM ends the monitor at once, even if a client follows the events.
func TestTermEndsItThoughSomebodyFollows(t *testing.T) {
	t.Parallel()
	m := runs(t, filepath.Join(testkit.Dir(t), "ctl"))
	answer, err := http.Get(m.url + "/api/events")
	require.NoError(t, err)
	defer answer.Body.Close()
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "event: everything\n", line)
	require.NoError(t, m.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- m.Wait() }()
	select {
	case err := <-ended:
		assert.NoError(t, err, m.out.String())
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	taken := l.Addr().String()
	open, short, good := filepath.Join(dir, "open"), filepath.Join(dir, "short"), filepath.Join(dir, "good")
	require.NoError(t, os.WriteFile(open, []byte("0123456789abcdef\n"), 0o644))
	require.NoError(t, os.WriteFile(short, []byte("0123\n"), 0o600))
	require.NoError(t, os.WriteFile(good, []byte("0123456789abcdef\n"), 0o600))
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "no control socket is named: name some, or a glob such as '/run/*.ctl'; see start_server_monitor --help"},
		{[]string{"[a"}, 2, `"[a" is no path and no glob`},
		{[]string{"--listen=" + taken, "x"}, 1, "--listen=" + taken + ": bind: address already in use"},
		{[]string{"--listen=nowhere", "x"}, 1, "--listen=nowhere: address nowhere: missing port in address"},
		{[]string{"--allow=restart,reboot", "x"}, 2, `--allow=restart,reboot: "reboot" is none of restart, stop, rollback, promote, workers`},
		{[]string{"--allow=restart", "x"}, 2, "--allow needs --token-file=FILE, with a token that clients have to send"},
		{[]string{"--token-file=" + good, "x"}, 2, "--token-file is of no use without --allow"},
		{[]string{"--allow=stop", "--token-file=" + dir, "x"}, 2, `token file "` + dir + `": it is not a regular file`},
		{[]string{"--allow=stop", "--token-file=" + open, "x"}, 2, `token file "` + open + `": its mode is 0644, and others could read or change it: chmod 600`},
		{[]string{"--allow=stop", "--token-file=" + short, "x"}, 2, `token file "` + short + `": the token has fewer than 16 characters: openssl rand -hex 16 makes a good one`},
		{[]string{"--allow=stop", "--token-file=" + good + ".no", "x"}, 2, "open " + good + ".no: no such file or directory"},
		{[]string{"--forget=0.5", "x"}, 2, "--forget=0.5: it is less than a second"},
	} {
		var stdout, stderr strings.Builder
		assert.Equal(t, c.code, run(c.args, &stdout, &stderr), "%q", c.args)
		assert.Equal(t, name+": "+c.says+"\n", stderr.String(), "%q", c.args)
	}
}

// start_server_monitor takes every command line of the documentation.
func TestCommandLinesOfThePagesAreTaken(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("../../deploy/systemd/start_server_monitor.service")
	require.NoError(t, err)
	count := testkit.CommandLines(t, name, func(args []string) error {
		o := &options{}
		_, rest, err := parse(o, args)
		if err == nil && !o.Help && !o.Version {
			o.TokenFile, o.Allow = "", nil // the file is not there
			err = o.check(rest)
		}
		return err
	}, pages.New("unit", "```\n"+string(unit)+"```\n"))
	assert.Greater(t, count, 5, "they are found")
}
