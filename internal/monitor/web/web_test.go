package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/monitor/collect"
)

// known is a Source of views that do not change.
type known struct {
	views  []collect.View
	recent []collect.Event
}

func (k known) Refresh(context.Context) {}
func (k known) Views() []collect.View   { return k.views }
func (k known) Found() []collect.Found {
	return []collect.Found{{Pattern: "/run/*.ctl", Count: len(k.views)}}
}
func (k known) Ready() bool            { return len(k.views) > 0 }
func (k known) Knows(path string) bool { return strings.HasSuffix(path, "/a.ctl") }
func (k known) Recent(seq uint64) (all []collect.Event) {
	for _, e := range k.recent {
		if e.Seq > seq {
			all = append(all, e)
		}
	}
	return all
}

// unknown is a Source that has not looked yet.
type unknown struct{ known }

func (unknown) Found() []collect.Found { return nil }

const token = "0123456789abcdef"

// hostile is what a worker may say of itself.
const hostile = `</script><img src=x onerror=alert(1)>`

func site(t *testing.T, k known, allow ...string) *Site {
	t.Helper()
	s, err := New(Config{
		Source: k, Hub: NewHub(), Metrics: http.NotFoundHandler(), Version: "1.0.0", Allow: allow,
		Token: func() (string, error) { return token, nil }, Log: func(string, ...any) {},
	})
	require.NoError(t, err)
	return s
}

// up is a superdaemon that serves.
func up() collect.View {
	return collect.View{Control: "/run/a.ctl", Up: true, Asked: true, Status: &control.Status{Pid: 1, Workers: []control.Worker{{State: "live", Says: hostile}}}}
}

func ask(s http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestHealthTellsWhy(t *testing.T) {
	t.Parallel()
	starting := up()
	starting.Control, starting.Status = "/run/b.ctl", &control.Status{State: "starting", Failure: &control.Failure{Reason: "exit code 1"}, Workers: []control.Worker{{State: "proving"}, {State: "draining"}}}
	gone := collect.View{Control: "/run/c.ctl", Asked: true, Why: "nobody listens there"}
	for want, views := range map[string][]collect.View{
		"ok: 1 serving\n": {up()},
		"/run/b.ctl: no worker serves: it is starting; the last attempt: exit code 1\n/run/c.ctl: nobody listens there\n": {up(), starting, gone},
		"/run/*.ctl: no superdaemon is there\n": nil,
		"/run/d.ctl: it has not answered yet\n": {{Control: "/run/d.ctl"}},
	} {
		w := ask(site(t, known{views: views}), "GET", "/healthz", "")
		assert.Equal(t, want, w.Body.String())
		assert.Equal(t, strings.HasPrefix(want, "ok"), w.Code == http.StatusOK)
	}
	assert.Equal(t, http.StatusServiceUnavailable, ask(site(t, known{}), "GET", "/readyz", "").Code)

	early := site(t, known{})
	early.Source = unknown{}
	w := ask(early, "GET", "/healthz", "")
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Equal(t, "not yet: nothing was looked for so far\n", w.Body.String())
}

// The page has no inline script and no inline style, and every answer tells the browser to run
// none.
func TestPageHasNothingInline(t *testing.T) {
	t.Parallel()
	s := site(t, known{views: []collect.View{up()}})
	for _, path := range []string{"/", "/app.js", "/draw.js", "/act.js", "/style.css", "/icon.svg", "/healthz", "/api/status", "/nosuch"} {
		w := ask(s, "GET", path, "")
		assert.Equal(t, path == "/nosuch", w.Code == http.StatusNotFound, path)
		assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; style-src 'self'", path)
		assert.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe", path)
		assert.Equal(t, "DENY", w.Header().Get("X-Frame-Options"), path)
		assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"), path)
		assert.NotContains(t, w.Body.String(), "innerHTML", path)
		assert.NotContains(t, strings.Replace(w.Body.String(), "http://www.w3.org/2000/svg", "", 1), "://", path)
	}
	page := ask(s, "GET", "/", "").Body.String()
	assert.NotContains(t, page, "<style")
	assert.NotContains(t, page, " style=")
	assert.NotContains(t, page, " on")
	assert.Equal(t, 3, strings.Count(page, "<script src="))
	assert.NotContains(t, ask(s, "GET", "/api/status", "").Body.String(), "<", "JSON as HTML is harmless, too")
	file := page[strings.Index(page, "app.js?"):]
	assert.Contains(t, ask(s, "GET", "/"+file[:strings.Index(file, `"`)], "").Header().Get("Cache-Control"), "immutable")
}

func TestOnlyWhoMayAsks(t *testing.T) {
	t.Parallel()
	const json, bearer = "application/json", "Bearer " + token
	body := `{"control":"/no/a.ctl"}`
	for _, c := range []struct {
		path, body string
		code       int
		headers    []string
	}{
		{"/api/restart", body, 502, []string{"Content-Type", json, Header, "1", "Authorization", bearer}}, // no superdaemon is there
		{"/api/restart", body, 502, []string{"Content-Type", json, Header, "1", "Authorization", bearer, "Sec-Fetch-Site", "same-origin", "Origin", "http://example.com"}},
		{"/api/stop", body, 403, []string{"Content-Type", json, Header, "1", "Authorization", bearer}}, // not allowed
		{"/api/restart", body, 401, []string{"Content-Type", json, Header, "1"}},
		{"/api/restart", body, 401, []string{"Content-Type", json, Header, "1", "Authorization", bearer + "0"}},
		{"/api/restart", body, 401, []string{"Content-Type", json, Header, "1", "Authorization", token}},
		{"/api/restart", body, 403, []string{"Content-Type", json, "Authorization", bearer}},
		{"/api/restart", body, 403, []string{"Content-Type", json, Header, "1", "Authorization", bearer, "Sec-Fetch-Site", "cross-site"}},
		{"/api/restart", body, 403, []string{"Content-Type", json, Header, "1", "Authorization", bearer, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}},
		{"/api/restart", body, 403, []string{"Content-Type", json, Header, "1", "Authorization", bearer, "Sec-Fetch-Site", "same-site"}},
		{"/api/restart", body, 403, []string{"Content-Type", json, Header, "1", "Authorization", bearer, "Origin", "https://evil.example"}},
		{"/api/restart", body, 403, []string{"Content-Type", json, Header, "1", "Authorization", bearer, "Origin", "null"}},
		{"/api/restart", body, 415, []string{"Content-Type", "text/plain", Header, "1", "Authorization", bearer}},
		{"/api/restart", `{"control":"/etc/passwd"}`, 404, []string{"Content-Type", json, Header, "1", "Authorization", bearer}},
		{"/api/restart", "{" + strings.Repeat(" ", maxBody) + "}", 400, []string{"Content-Type", json, Header, "1", "Authorization", bearer}},
		{"/api/workers", body, 400, []string{"Content-Type", json, Header, "1", "Authorization", bearer}},
		{"/api/reboot", body, 404, nil},
	} {
		w := ask(site(t, known{views: []collect.View{up()}}, "restart", "workers"), "POST", c.path, c.body, c.headers...)
		assert.Equal(t, c.code, w.Code, "%s %q: %s", c.path, c.headers, w.Body)
	}
	s := site(t, known{}, "restart")
	assert.Equal(t, http.StatusMethodNotAllowed, ask(s, "GET", "/api/restart", "").Code)
	s.Token = func() (string, error) { return "", errors.New("its mode is 0644") }
	assert.Equal(t, 500, ask(s, "POST", "/api/restart", body, "Content-Type", json, Header, "1", "Authorization", "Bearer ").Code)
	assert.Equal(t, http.StatusForbidden, ask(s, "GET", "/api/events", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors").Code)
}

func TestRequestsThatRunAreBounded(t *testing.T) {
	t.Parallel()
	r := running{of: map[string]int{}}
	for i := range maxRunning {
		assert.True(t, r.begin(fmt.Sprint(i/maxOfOne)))
	}
	assert.False(t, r.begin("another"))
	r.end("0")
	assert.False(t, r.begin("1"), "two are going on")
	assert.True(t, r.begin("0"))
}

// follow begins to read a stream.
func follow(t *testing.T, url string, headers ...string) *bufio.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/api/events", nil)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { answer.Body.Close() })
	require.Equal(t, http.StatusOK, answer.StatusCode)
	return bufio.NewReader(answer.Body)
}

// next reads the next message: its kind, its id, and its data.
func next(t *testing.T, in *bufio.Reader) (kind, id, data string) {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			kind = value
		case "id":
			id = value
		case "data":
			data = value
		case "":
			if kind != "" {
				return kind, id, data
			}
		}
	}
}

func TestStreamBeginsWithEverythingAndGoesOn(t *testing.T) {
	t.Parallel()
	s := site(t, known{views: []collect.View{up()}, recent: []collect.Event{{Seq: 1, Event: "started", Text: "a\nb"}, {Seq: 2, Event: "live"}}})
	server := httptest.NewServer(s)
	defer server.Close()
	in := follow(t, server.URL)
	kind, _, data := next(t, in)
	assert.Equal(t, "everything", kind)
	assert.True(t, json.Valid([]byte(data)))
	kind, _, data = next(t, in)
	assert.Equal(t, "happened", kind)
	assert.Contains(t, data, `"a\nb"`)
	_, id, _ := next(t, in)
	s.Hub.Happened(collect.Event{Seq: 2, Event: "live"}) // was sent already
	s.Hub.Changed(up())
	s.Hub.Forgotten("/run/a.ctl")
	kind, _, _ = next(t, in)
	assert.Equal(t, "superdaemon", kind)
	kind, _, data = next(t, in)
	assert.Equal(t, `forgotten "/run/a.ctl"`, kind+" "+data)
	again := follow(t, server.URL, "Last-Event-ID", strings.Replace(id, "-2", "-1", 1))
	next(t, again)
	_, missed, _ := next(t, again)
	assert.Equal(t, id, missed)
	s.Hub.Close()
	_, err := io.ReadAll(in)
	assert.NoError(t, err, "it ends")
}

// changing is a Source whose views change.
type changing struct {
	known
	now atomic.Pointer[[]collect.View]
}

func (c *changing) Views() []collect.View { return *c.now.Load() }

// A client that comes later gets all that the others were told before: it is not sent again.
func TestStreamBeginsWithWhatOthersWereToldLast(t *testing.T) {
	t.Parallel()
	down := up()
	down.Up, down.Status, down.Why = false, nil, "nobody listens there"
	for kind, views := range map[string][]collect.View{"superdaemon": {down}, "forgotten": {}} {
		source := &changing{}
		source.now.Store(&[]collect.View{up()})
		s := site(t, known{})
		s.Source = source
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		first := follow(t, server.URL)
		_, _, data := next(t, first)
		require.Contains(t, data, `"up":true`)
		source.now.Store(&views)
		if kind == "forgotten" {
			s.Hub.Forgotten("/run/a.ctl")
		} else {
			s.Hub.Changed(down)
		}
		told, _, _ := next(t, first)
		require.Equal(t, kind, told)
		_, _, data = next(t, follow(t, server.URL))
		assert.NotContains(t, data, `"up":true`, kind)
	}
}

// A client that does not read is dropped, and the others get everything. One thousand may
// follow.
func TestSlowClientsAreDropped(t *testing.T) {
	t.Parallel()
	h := NewHub()
	var all []*client
	for range maxClients {
		c := h.join()
		require.NotNil(t, c)
		all = append(all, c)
	}
	assert.Nil(t, h.join())
	began := time.Now()
	for i := range 3 * maxUnread {
		h.Happened(collect.Event{Seq: uint64(i + 1), Text: hostile})
		<-all[0].messages
	}
	assert.Less(t, time.Since(began), 20*time.Second)
	now, dropped := h.Clients()
	assert.Equal(t, 1, now)
	assert.Equal(t, uint64(maxClients-1), dropped)
	<-all[1].slow
	h.leave(all[1]) // the second call does nothing
	h.leave(all[0])
	assert.False(t, h.Watched())
	s := site(t, known{})
	for range maxClients {
		s.Hub.join()
	}
	assert.Equal(t, http.StatusServiceUnavailable, ask(s, "GET", "/api/events", "").Code)
}
