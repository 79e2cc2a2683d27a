//go:build linux || darwin

package listener

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// SIGTERM, twice, with a request in flight and a connection not yet read.
func TestServeTerminated(t *testing.T) {
	t.Parallel()
	file, addr := listenTCP(t, "127.0.0.1:0")
	p := start(t, "serial", fmt.Sprintf("127.0.0.1:%d=3", addr.Port), file)
	p.expect(t, "serving")

	// Given a request in flight,
	response := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + addr.String())
		if err != nil {
			response <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		response <- string(body)
	}()
	p.expect(t, "handling")

	// when the process gets SIGTERM, and again,
	require.NoError(t, p.Signal(syscall.SIGTERM))
	p.expect(t, "draining")
	require.NoError(t, p.Signal(syscall.SIGTERM))

	// then a connection waits in the queue for the next process that accepts,
	waiting, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	defer waiting.Close()

	// and the request is served before the process ends.
	_, err = io.WriteString(p.stdin, "\n")
	require.NoError(t, err)
	require.Equal(t, "done", <-response)
	p.ended(t)
	require.True(t, nonblocking(t, file), "the flag that all generations share")

	_, err = io.WriteString(waiting, "GET / HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	next := start(t, "serve", fmt.Sprintf("127.0.0.1:%d=3", addr.Port), file)
	res, err := http.ReadResponse(bufio.NewReader(waiting), nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	next.expect(t, "serving")
	require.NoError(t, next.Signal(syscall.SIGTERM))
	next.ended(t)
}

// A superdaemon that clears O_NONBLOCK under a running worker, as some ports do
// at each spawn, makes accept(2) block: the worker ends without traffic, too.
func TestServeFlagCleared(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			// Given a worker that waits in a blocking accept(2),
			v := &visitor{network: network, retries: new(atomic.Int64)}
			var file *os.File
			if network == "tcp" {
				var addr *net.TCPAddr
				file, addr = listenTCP(t, "127.0.0.1:0")
				v.addr = addr.String()
			} else {
				file, v.addr = listenUnix(t)
			}
			p := start(t, "serve", v.addr+"=3", file)
			p.expect(t, "serving")
			require.NoError(t, v.visit())
			require.NoError(t, syscall.SetNonblock(int(file.Fd()), false))
			require.NoError(t, v.visit())

			// when it gets SIGTERM and no client connects, then it ends.
			require.NoError(t, p.Signal(syscall.SIGTERM))
			p.ended(t)
		})
	}
}

func TestDrainingIsToldToThoseOutsideOfRequests(t *testing.T) {
	t.Parallel()
	file, addr := listenTCP(t, "127.0.0.1:0")
	p := start(t, "told", fmt.Sprintf("127.0.0.1:%d=3", addr.Port), file)
	p.expect(t, "serving")
	require.NoError(t, p.Signal(syscall.SIGTERM))
	p.expect(t, "told: the server drains")
	require.Empty(t, p.ended(t))
}

func TestServeNothingToServe(t *testing.T) {
	udp, _ := listenUDP(t, "127.0.0.1:0")
	t.Setenv(ServerStarterEnvVarName, entry("8080", udp))
	require.ErrorIs(t, Serve(t.Context(), &http.Server{}), ErrNoListeningTarget)

	t.Setenv(ServerStarterEnvVarName, "")
	require.ErrorContains(t, Serve(t.Context(), &http.Server{Addr: "127.0.0.1:70000"}), "127.0.0.1:70000")
}

// HTTP/2 connections end by GOAWAY.
func TestServeHTTP2(t *testing.T) {
	t.Parallel()
	certified := httptest.NewUnstartedServer(nil)
	certified.EnableHTTP2 = true
	certified.StartTLS()
	defer certified.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := "https://" + ln.Addr().String()

	began := make(chan struct{})
	finish := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-finish
		io.WriteString(w, r.Proto)
	})}
	srv.RegisterOnShutdown(func() { close(finish) })
	served := make(chan error, 1)
	terminated := make(chan error, 1)
	go func() { served <- Serve(t.Context(), srv, tls.NewListener(ln, certified.TLS)) }()
	go func() {
		<-began
		terminated <- ln.Close() // as good as any other reason to drain
	}()

	res, err := certified.Client().Get(addr)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", string(body))
	require.NoError(t, <-terminated)
	require.ErrorIs(t, <-served, net.ErrClosed)
}

// visitor is a client that counts. A request that fails is an error, unless it was sent
// over a connection that had served one before and was closed without an answer: it is
// then tried again, and counted.
type visitor struct {
	network   string
	addr      string
	keepAlive bool
	conn      net.Conn
	r         *bufio.Reader
	used      bool
	retries   *atomic.Int64
}

func (v *visitor) visit() error {
	err := v.try()
	if errors.Is(err, errStale) {
		v.retries.Add(1)
		err = v.try()
	}
	return err
}

var errStale = errors.New("reused connection closed before a response")

func (v *visitor) try() error {
	if v.conn == nil {
		conn, err := net.DialTimeout(v.network, v.addr, patience)
		if err != nil {
			return err
		}
		v.conn, v.r, v.used = conn, bufio.NewReader(conn), false
		conn.SetDeadline(time.Now().Add(patience))
	}
	connection := "close"
	if v.keepAlive {
		connection = "keep-alive"
	}
	_, err := fmt.Fprintf(v.conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: %s\r\n\r\n", connection)
	if err == nil {
		_, err = v.r.Peek(1)
	}
	if err != nil {
		v.close()
		if v.used && !errors.Is(err, syscall.ETIMEDOUT) {
			return errStale
		}
		return err
	}
	res, err := http.ReadResponse(v.r, nil)
	if err != nil {
		return err
	}
	if _, err = io.ReadAll(res.Body); err != nil {
		return err
	}
	v.used = true
	if res.Close {
		v.close()
	}
	return nil
}

func (v *visitor) close() {
	if v.conn != nil {
		v.conn.Close()
		v.conn = nil
	}
}

// Ten replacements under load: not one failed request.
func TestServeReplaced(t *testing.T) {
	t.Parallel()
	const replacements, between = 10, 200
	file, addr := listenTCP(t, "127.0.0.1:0")
	spec := fmt.Sprintf("127.0.0.1:%d=3", addr.Port)
	worker := start(t, "serve", spec, file)
	worker.expect(t, "serving")

	var wg sync.WaitGroup
	var visits, retries atomic.Int64
	failures := make(chan error, 8)
	stop := make(chan struct{})
	for i := range 8 {
		v := &visitor{network: "tcp", addr: addr.String(), keepAlive: i%2 == 0, retries: &retries}
		wg.Go(func() {
			defer v.close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := v.visit(); err != nil {
					failures <- fmt.Errorf("keep-alive %t: %w", v.keepAlive, err)
					return
				}
				visits.Add(1)
			}
		})
	}
	for range replacements {
		before := visits.Load()
		require.Eventually(t, func() bool { return visits.Load() >= before+between || len(failures) > 0 }, patience, time.Millisecond)
		next := start(t, "serve", spec, file)
		next.expect(t, "serving")
		require.NoError(t, worker.Signal(syscall.SIGTERM))
		worker.ended(t)
		worker = next
	}
	close(stop)
	wg.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	require.NoError(t, worker.Signal(syscall.SIGTERM))
	worker.ended(t)
	t.Logf("%d requests, %d retries over reused connections", visits.Load(), retries.Load())
}
