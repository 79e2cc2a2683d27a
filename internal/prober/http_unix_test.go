//go:build unix

package prober

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnswersOfAServer(t *testing.T) {
	t.Parallel()
	pages := http.NewServeMux()
	page := func(path string, status int, body string) {
		pages.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	page("/200", 200, "fine")
	page("/204", 204, "")
	page("/399", 399, "")
	page("/404", 404, "")
	page("/500", 500, "\n \ndatabase \x1b[31mgone\r\nat line 3\n")
	page("/503", 503, strings.Repeat("é", 3000)+"\n")
	page("/huge", 500, strings.Repeat("huge\n", 1<<20))
	pages.HandleFunc("/302", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/500", http.StatusFound) })
	pages.HandleFunc("/303", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://{host}:port/") // nobody goes there
		w.WriteHeader(http.StatusSeeOther)
	})
	s := httptest.NewServer(pages)
	t.Cleanup(s.Close)
	for path, want := range map[string]string{
		"/200": "", "/204": "", "/302": "", "/303": "", "/399": "",
		"/404":  "status 404",
		"/500":  "status 500: database ?[31mgone",
		"/503":  "status 503: " + strings.Repeat("é", 100) + "…",
		"/huge": "status 500: huge",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			c := checker(t, s.Listener.Addr(), "http://web"+path)
			err := c.Still(t.Context(), target(s.Listener.Addr()))
			if want == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, "http://web"+path+": "+want)
		})
	}
}

func TestARequestIsAsItWasGiven(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { requests <- r }))
	defer s.Close()
	addr := s.Listener.Addr()
	for text, host := range map[string]string{
		"http://web/a%2Fb?c=%20d":            "localhost" + addr.String()[len("127.0.0.1"):],
		"http://" + addr.String() + "//x?y=": addr.String(),
		"http://web":                         "localhost" + addr.String()[len("127.0.0.1"):],
	} {
		require.NoError(t, checker(t, addr, text).Still(t.Context(), target(addr)))
		r := <-requests
		path := text[strings.Index(text[len("http://"):]+"/", "/")+len("http://"):]
		if path == "" {
			path = "/"
		}
		assert.Equal(t, []string{"GET", path, "HTTP/1.1", host}, []string{r.Method, r.RequestURI, r.Proto, r.Host})
		assert.Equal(t, http.Header{"User-Agent": {agent}, "Connection": {"close"}}, r.Header)
	}
}

// serveRaw gives each connection to a function, in a goroutine that ends with the test.
func serveRaw(t *testing.T, do func(net.Conn)) net.Addr {
	t.Helper()
	ln := listen(t)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go do(conn)
		}
	}()
	return ln.Addr()
}

// readRequest reads until a request is over.
func readRequest(conn net.Conn) {
	for in := bufio.NewReader(conn); ; {
		if line, err := in.ReadString('\n'); err != nil || line == "\r\n" {
			return
		}
	}
}

func TestServersThatDoNotSpeakHTTP(t *testing.T) {
	t.Parallel()
	says := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, text)
			conn.Close()
		}
	}
	for name, c := range map[string]struct {
		do   func(net.Conn)
		want string
	}{
		"closes":         {says(""), "the connection was closed"},
		"closes at once": {func(conn net.Conn) { conn.Close() }, "the connection was closed"},
		"resets":         {func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0); readRequest(conn); conn.Close() }, "the connection was closed"},
		"half a header":  {says("HTTP/1.1 200 OK\r\nContent-Le"), `malformed MIME header: missing colon: "Content-Le"`},
		"garbage":        {says("\x1bgarbage\r\n\r\n"), `malformed HTTP response "\x1bgarbage"`},
		"endless header": {says("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), "server response headers exceeded 65536 bytes; aborted"},
		"status 99":      {says("HTTP/1.1 99 x\r\n\r\n"), `malformed HTTP status code "99"`},
		"half a body":    {says("HTTP/1.1 500 x\r\nContent-Length: 100\r\n\r\nwhy"), "status 500: why"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serveRaw(t, c.do)
			err := checker(t, addr, "http://web/").Still(t.Context(), target(addr))
			assert.EqualError(t, err, "http://web/: "+c.want)
		})
	}
}

func TestServersThatHang(t *testing.T) {
	t.Parallel()
	slowly := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, text)
		}
	}
	for name, c := range map[string]struct {
		do   func(net.Conn)
		want string
	}{
		"without a word": {func(net.Conn) {}, "no answer within 0.2s"},
		"slow header":    {slowly("HTTP/1.1 200 OK\r\nX: "), "no answer within 0.2s"},
		"slow body":      {slowly("HTTP/1.1 500 x\r\nContent-Length: 100\r\n\r\nwhy"), "status 500: why"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serveRaw(t, c.do)
			checker := checker(t, addr, "http://web/")
			checker.Timeout = 200 * time.Millisecond
			err := checker.Still(t.Context(), target(addr))
			assert.EqualError(t, err, "http://web/: "+c.want)
		})
	}
	t.Run("its handshake", func(t *testing.T) {
		t.Parallel()
		addr := serveRaw(t, func(net.Conn) {})
		checker := checker(t, addr, "https://web/")
		checker.Timeout = 200 * time.Millisecond
		assert.EqualError(t, checker.Still(t.Context(), target(addr)), "https://web/: no answer within 0.2s")
	})
	t.Run("the body of a page that is fine", func(t *testing.T) {
		t.Parallel()
		addr := serveRaw(t, slowly("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nwhy"))
		assert.NoError(t, checker(t, addr, "http://web/").Still(t.Context(), target(addr)))
	})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/500" {
			w.WriteHeader(500)
		}
		_, _ = io.WriteString(w, r.Proto)
	})
	s := httptest.NewUnstartedServer(page)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = nil
	s.StartTLS() // with a certificate of an unknown issuer
	defer s.Close()
	addr := s.Listener.Addr()
	assert.NoError(t, checker(t, addr, "https://web/").Still(t.Context(), target(addr)))
	assert.EqualError(t, checker(t, addr, "https://web/500").Still(t.Context(), target(addr)), "https://web/500: status 500: HTTP/1.1")
	plain := httptest.NewServer(page)
	defer plain.Close()
	addr = plain.Listener.Addr()
	assert.EqualError(t, checker(t, addr, "https://web/").Still(t.Context(), target(addr)), "https://web/: the answer is not TLS")
	raw := serveRaw(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n") })
	assert.EqualError(t, checker(t, raw, "https://web/").Still(t.Context(), target(raw)), "https://web/: the answer is not TLS")
}
