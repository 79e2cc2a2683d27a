//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crowd is clients whose connections live until they are told that the server drains.
// Each makes the next one then.
type crowd struct {
	t       *testing.T
	addr    string
	end     context.CancelFunc
	clients sync.WaitGroup
	open    sync.Map     // the generation that each client hears
	told    atomic.Int64 // connections that were told, and then closed
	cut     atomic.Int64 // connections that were told, and closed at the limit

	mu     sync.Mutex
	faults []error
}

// life lives through one connection. It calls hears with the generation that serves it, and
// returns nil when it was told and the server has closed the connection.
type life func(conn net.Conn, hears func(generation int)) error

// come starts n clients that live that life.
func (c *crowd) come(ctx context.Context, n int, ended *atomic.Int64, live life) {
	for range n {
		c.clients.Go(func() {
			me := new(int)
			for ctx.Err() == nil {
				if err := c.connect(ctx, me, live); err == nil {
					ended.Add(1)
				} else if ctx.Err() == nil {
					c.mu.Lock()
					c.faults = append(c.faults, err)
					c.mu.Unlock()
				}
			}
		})
	}
}

func (c *crowd) connect(ctx context.Context, me *int, live life) error {
	conn, err := net.DialTimeout("tcp", c.addr, deadline)
	if err != nil {
		return err // refused
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(deadline))
	return live(conn, func(generation int) { c.open.Store(me, generation) })
}

// stop ends them, and checks that none was refused, or not told.
func (c *crowd) stop() {
	c.t.Helper()
	c.end()
	c.clients.Wait()
	require.Zero(c.t, len(c.faults), "faults of %d connections, the first: %v", c.told.Load()+c.cut.Load(), errors.Join(c.faults[:min(3, len(c.faults))]...))
}

// allHear waits until n clients hear the generation.
func (c *crowd) allHear(n, generation int) {
	c.t.Helper()
	heard := 0
	eventually(c.t, func() bool {
		heard = 0
		c.open.Range(func(_, g any) bool {
			if g == generation {
				heard++
			}
			return true
		})
		return heard >= n
	}, func() string { return fmt.Sprintf("%d of %d clients hear generation %d", heard, n, generation) })
}

var ofGeneration = regexp.MustCompile(`generation (\d+)`)

func generationIn(text string) int {
	m := ofGeneration.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// listens lives as an EventSource does.
func listens(conn net.Conn, hears func(int)) error {
	if _, err := io.WriteString(conn, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	told := false
	for r := bufio.NewScanner(conn); ; {
		switch {
		case !r.Scan() && !told:
			return fmt.Errorf("the events end, and it was not told: %v", r.Err())
		case r.Err() != nil:
			return r.Err()
		case r.Text() == "event: drain":
			told = true
		case strings.HasPrefix(r.Text(), "data: event"):
			hears(generationIn(r.Text()))
		case r.Text() == "0": // the last chunk
			_, err := io.Copy(io.Discard, conn)
			return err
		}
	}
}

// converses lives as a websocket does: it answers a close frame by its own.
func converses(conn net.Conn, hears func(int)) error {
	r, err := hearsClose(conn, hears)
	if err != nil {
		return err
	}
	if _, err := conn.Write(frame(8, []byte{1001 >> 8, 1001 & 0xff})); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, r); n != 0 || err != nil {
		return fmt.Errorf("%d bytes after the close frame, then %v", n, err)
	}
	return nil
}

// isDeaf lives as a websocket that does not answer a close frame. At the limit of the
// drain it is closed.
func isDeaf(conn net.Conn, hears func(int)) error {
	r, err := hearsClose(conn, hears)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	if errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// hearsClose opens a websocket, says something now and then, and returns when it gets a
// close frame.
func hearsClose(conn net.Conn, hears func(int)) (*bufio.Reader, error) {
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	head := make([]string, 0, 5)
	for line := ""; line != "\r\n"; head = append(head, line) {
		if line, err = r.ReadString('\n'); err != nil {
			return nil, fmt.Errorf("after the answer %q: %w", head, err)
		}
	}
	// The key and its answer are from RFC 6455, 1.3.
	if !strings.Contains(strings.Join(head, ""), "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") {
		return nil, fmt.Errorf("the answer is %q", head)
	}
	said := []byte("as it was")
	for n := 0; ; n++ {
		kind, payload, err := readFrame(r)
		switch {
		case err != nil:
			return nil, fmt.Errorf("it was not told: %w", err)
		case kind == 8 && bytes.Equal(payload, []byte{1001 >> 8, 1001 & 0xff}):
			return r, nil
		case n == 0:
			hears(generationIn(string(payload)))
			if _, err := conn.Write(frame(1, said)); err != nil {
				return nil, err
			}
		case kind != 1 || n != 1 || !bytes.Equal(payload, said):
			return nil, fmt.Errorf("frame %d is of kind %d with %q", n, kind, payload)
		}
	}
}

// frame is a frame of a client. Its mask is zero, which changes nothing.
func frame(kind byte, payload []byte) []byte {
	return append([]byte{0x80 | kind, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func readFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, head[1])
	_, err = io.ReadFull(r, payload)
	return head[0] &^ 0x80, payload, err
}

const longLivedRestarts = 20

// longLived is how many connections there are of each kind.
var longLived = flag.Int("longlived", 100, "clients that listen to events, and of websockets, over twenty restarts")

// The status tells how much a worker that drains is still busy with.
func TestStatusOfADrain(t *testing.T) {
	t.Parallel()
	d, c, ctx := startCrowd(t, example(t, "websocket"), "-limit=1h")
	c.come(ctx, 3, &c.cut, isDeaf)
	c.allHear(3, 1)
	d.signal(syscall.SIGHUP)
	d.isReady(2)
	says := func() string {
		for _, w := range d.status().Workers {
			if w.Generation == 1 {
				return w.State + ": " + w.Says
			}
		}
		return "gone"
	}
	become := func(want string) {
		t.Helper()
		got := ""
		eventually(t, func() bool { got = says(); return got == want }, func() string { return fmt.Sprintf("worker 1 is %q, not %q", got, want) })
	}
	become("draining: draining, 0 requests, 3 hijacked connections")
	c.end()
	become("gone")
	d.stop()
	d.runs()
}

// startCrowd starts an example, and makes a crowd without clients for it.
func startCrowd(t *testing.T, args ...string) (*daemon, *crowd, context.Context) {
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, append([]string{"--port=" + addr, "--interval=0.1", "--ready=notify", "--status-file=status", "--control=ctl", "--"}, args...)...)
	d.isReady(1)
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{t: t, addr: addr, end: cancel}
	t.Cleanup(func() { cancel(); c.clients.Wait() })
	return d, c, ctx
}

func TestEventsOverTwentyRestarts(t *testing.T) {
	t.Parallel()
	d, c, ctx := startCrowd(t, example(t, "events"), "-every=1h")
	c.come(ctx, *longLived, &c.told, listens)
	c.allHear(*longLived, 1)
	for generation := 2; generation <= longLivedRestarts+1; generation++ {
		d.signal(syscall.SIGHUP)
		c.allHear(*longLived, generation)
	}
	d.isLive(longLivedRestarts + 1)
	t.Logf("%d connections were told, and closed by the program", c.told.Load())
	// A few more may be told: a connection may come to a worker that is about to go.
	assert.GreaterOrEqual(t, c.told.Load(), int64(*longLived*longLivedRestarts))
	c.stop()
	d.stop()
	d.runs()
}

func TestWebsocketsOverTwentyRestarts(t *testing.T) {
	t.Parallel()
	const deaf = 10
	hearing := *longLived - deaf
	d, c, ctx := startCrowd(t, example(t, "websocket"), "-limit=1s")
	c.come(ctx, hearing, &c.told, converses)
	c.come(ctx, deaf, &c.cut, isDeaf)
	c.allHear(*longLived, 1)
	for generation := 2; generation <= longLivedRestarts+1; generation++ {
		d.signal(syscall.SIGHUP)
		c.allHear(hearing, generation) // the deaf ones are with older generations
	}
	d.isLive(longLivedRestarts + 1)
	c.allHear(*longLived, longLivedRestarts+1)
	t.Logf("%d connections were told; of these %d were closed at the limit", c.told.Load()+c.cut.Load(), c.cut.Load())
	assert.GreaterOrEqual(t, c.told.Load(), int64(hearing*longLivedRestarts))
	assert.GreaterOrEqual(t, c.cut.Load(), int64(deaf))
	d.sees(1, `drain timeout of 1s: closed with 1?\d requests?, \d+ hijacked connections?$`)
	c.stop()
	d.stop()
	d.runs()
}
