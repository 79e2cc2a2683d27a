//go:build linux

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pace is how often a client sends a request. Without a pause two clients would keep a
// machine busy, and what is tested would wait for a processor.
const pace = 10 * time.Millisecond

// load is clients that send requests until it is stopped.
type load struct {
	t        *testing.T
	addr     string
	cancel   context.CancelFunc
	clients  sync.WaitGroup
	answered atomic.Int64
	longest  atomic.Int64 // nanoseconds

	mu     sync.Mutex
	faults []error
	heard  map[int]int // how many answers told each generation
}

// startLoad starts clients with a connection per request, and others that keep
// theirs alive. network is tcp or unix.
func startLoad(t *testing.T, network, addr string, fresh, keepAlive int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{t: t, addr: addr, cancel: cancel, heard: map[int]int{}}
	for range fresh {
		l.clients.Go(func() { l.run(ctx, network, false) })
	}
	for range keepAlive {
		l.clients.Go(func() { l.run(ctx, network, true) })
	}
	t.Cleanup(func() { cancel(); l.clients.Wait() })
	return l
}

// stop ends the load and checks that not one request was lost.
func (l *load) stop() {
	l.t.Helper()
	l.cancel()
	l.clients.Wait()
	assert.Empty(l.t, l.faults, "lost requests, of %d", l.answered.Load()+int64(len(l.faults)))
	require.NotZero(l.t, l.answered.Load(), "the load has not run at all")
}

// goesOn waits until n more requests have been answered.
func (l *load) goesOn(n int64) {
	l.t.Helper()
	before := l.answered.Load()
	eventually(l.t, func() bool { return l.answered.Load() >= before+n }, func() string {
		return fmt.Sprintf("%d of %d requests answered", l.answered.Load()-before, n)
	})
}

func (l *load) run(ctx context.Context, network string, keepAlive bool) {
	c := &client{network: network, addr: l.addr, keepAlive: keepAlive}
	defer c.close()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		body, err := c.get("/")
		for took := int64(time.Since(began)); ; {
			longest := l.longest.Load()
			if took <= longest || l.longest.CompareAndSwap(longest, took) {
				break
			}
		}
		l.mu.Lock()
		if err != nil {
			l.faults = append(l.faults, err)
			l.mu.Unlock()
			continue
		}
		l.heard[generationOf(body)]++
		l.mu.Unlock()
		l.answered.Add(1)
	}
}

// generationOf is the generation that an answer tells; 0: none.
func generationOf(body string) int {
	_, text, _ := strings.Cut(body, "generation ")
	n, _ := strconv.Atoi(strings.TrimSpace(text))
	return n
}

// client is an HTTP client that hides nothing from the test: the one of net/http
// retries some requests by itself.
type client struct {
	network, addr string
	keepAlive     bool
	conn          net.Conn
	reader        *bufio.Reader
	used          bool
}

// get sends a request and returns the answer's body. A kept-alive connection
// that was closed between two requests is replaced once, as every HTTP client
// does; all else is an error.
func (c *client) get(path string) (string, error) {
	body, err := c.try(path)
	var stale *staleError
	if errors.As(err, &stale) {
		body, err = c.try(path)
	}
	return body, err
}

// staleError tells that a connection used before gave not a byte of an answer.
type staleError struct{ error }

func (c *client) try(path string) (string, error) {
	network, exchange := c.network, c.exchange
	switch network {
	case fastCGI:
		network, exchange = "tcp", c.exchangeFastCGI
	case datagrams:
		exchange = c.exchangeDatagram
	}
	if c.conn == nil {
		conn, err := net.DialTimeout(network, c.addr, deadline)
		if err != nil {
			return "", err
		}
		c.conn, c.reader, c.used = conn, bufio.NewReader(conn), false
		conn.SetDeadline(time.Now().Add(time.Minute))
	}
	body, keep, err := exchange(path)
	if err != nil || !keep {
		c.close()
	}
	c.used = true
	return body, err
}

func (c *client) exchange(path string) (body string, keep bool, err error) {
	c.conn.SetDeadline(time.Now().Add(deadline))
	connection := "close"
	if c.keepAlive {
		connection = "keep-alive"
	}
	_, err = fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n", path, connection)
	if err == nil {
		_, err = c.reader.Peek(1)
	}
	if err != nil {
		if c.used {
			return "", false, &staleError{err}
		}
		return "", false, fmt.Errorf("fresh connection: %w", err)
	}
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return "", false, fmt.Errorf("cut answer: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", false, fmt.Errorf("cut body: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return "", false, fmt.Errorf("answer %s: %s", answer.Status, text)
	}
	return string(text), c.keepAlive && !answer.Close, nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// datagrams is the network of clients that send a datagram and wait for the answer.
const datagrams = "udp"

func (c *client) exchangeDatagram(string) (body string, keep bool, err error) {
	c.conn.SetDeadline(time.Now().Add(deadline))
	if _, err = c.conn.Write([]byte("hello")); err != nil {
		return "", false, err
	}
	answer := make([]byte, 1<<10)
	n, err := c.conn.Read(answer)
	return string(answer[:n]), c.keepAlive, err
}
