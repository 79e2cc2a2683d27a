//go:build linux

package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// example builds one of examples.
func example(t *testing.T, name string) string {
	t.Helper()
	out := filepath.Join(tempDir(t), name)
	build := exec.Command("go", "build", "-o", out, "./examples/"+name)
	build.Dir = source
	text, err := build.CombinedOutput()
	require.NoError(t, err, "%s", text)
	return out
}

// caller calls examples/streams as gRPC does, over one connection as long as that lasts.
type caller struct {
	url    string
	client *http.Client
}

// newCaller calls by HTTP/2 without TLS. post and call retry nothing. net/http retries what
// the server has refused to begin, as any client of HTTP/2 may.
func newCaller(t *testing.T, addr string) *caller {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{"http://" + addr, &http.Client{Transport: transport}}
}

// call makes a call, and returns its messages and its status. hear is called for each
// message.
func (c *caller) call(ctx context.Context, method string, hear func(string)) (status string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/clock.Clock/"+method, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := c.client.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 {
		return "", fmt.Errorf("%s over %s", res.Status, res.Proto)
	}
	for {
		var head [5]byte
		if _, err := io.ReadFull(res.Body, head[:]); errors.Is(err, io.EOF) {
			return res.Trailer.Get("Grpc-Status"), nil
		} else if err != nil {
			return "", err
		}
		message := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(res.Body, message); err != nil {
			return "", err
		}
		hear(string(message))
	}
}

// calls is what many callers do until they are stopped.
type calls struct {
	t        *testing.T
	end      context.CancelFunc
	callers  sync.WaitGroup
	answered atomic.Int64 // calls with one answer
	told     atomic.Int64 // streams that were ended because the server drains

	mu     sync.Mutex
	faults []error
}

func startCalls(t *testing.T, addr string, unary, streams int) *calls {
	ctx, cancel := context.WithCancel(t.Context())
	c := &calls{t: t, end: cancel}
	again := func(call func(*caller) error) {
		for caller := newCaller(t, addr); ctx.Err() == nil; {
			if err := call(caller); err != nil && ctx.Err() == nil {
				c.mu.Lock()
				c.faults = append(c.faults, err)
				c.mu.Unlock()
			}
		}
	}
	for range unary {
		c.callers.Go(func() { again(func(caller *caller) error { return c.now(ctx, caller) }) })
	}
	for range streams {
		c.callers.Go(func() { again(func(caller *caller) error { return c.watch(ctx, caller) }) })
	}
	t.Cleanup(func() { cancel(); c.callers.Wait() })
	return c
}

func (c *calls) now(ctx context.Context, caller *caller) error {
	status, err := caller.call(ctx, "Now", func(string) {})
	if err == nil && status != "0" {
		err = fmt.Errorf("a call ends with status %q", status)
	}
	if err == nil {
		c.answered.Add(1)
	}
	select {
	case <-ctx.Done():
	case <-time.After(pace / 5):
	}
	return err
}

func (c *calls) watch(ctx context.Context, caller *caller) error {
	heard := 0
	status, err := caller.call(ctx, "Watch", func(string) { heard++ })
	if err == nil && (status != "14" || heard == 0) {
		err = fmt.Errorf("a stream ends after %d messages with status %q", heard, status)
	}
	if err == nil {
		c.told.Add(1)
	}
	return err
}

// goesOn waits for n more answers.
func (c *calls) goesOn(n int64) {
	c.t.Helper()
	before := c.answered.Load()
	eventually(c.t, func() bool { return c.answered.Load() >= before+n }, func() string {
		return fmt.Sprintf("%d of %d calls answered", c.answered.Load()-before, n)
	})
}

// stop checks that nothing was lost.
func (c *calls) stop() {
	c.t.Helper()
	c.end()
	c.callers.Wait()
	require.Empty(c.t, c.faults, "lost, of %d calls and %d streams", c.answered.Load()+int64(len(c.faults)), c.told.Load())
}

// Among long-lived streams of HTTP/2 and short calls between them none is lost, and every
// stream is told.
func TestTwentyRestartsOfStreams(t *testing.T) {
	t.Parallel()
	const restarts, unary, streams = 20, 4, 20
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port=rpc@"+addr, "--interval=0.1", "--ready=notify", "--status-file=status", "--",
		example(t, "streams"), "-label=rpc", "-every=50ms")
	d.isReady(1)
	c := startCalls(t, addr, unary, streams)
	for generation := 2; generation <= restarts+1; generation++ {
		c.goesOn(50)
		d.signal(syscall.SIGHUP)
		d.isReady(generation) // an old one is there for the second that the GOAWAY takes
	}
	c.goesOn(50)
	d.isLive(restarts + 1)
	c.stop()
	t.Logf("%d calls answered, %d streams told", c.answered.Load(), c.told.Load())
	require.GreaterOrEqual(t, c.told.Load(), int64(streams), "each of them at least once")
	require.NotContains(t, d.out.String(), "drain timeout")
	d.stop()
	d.runs()
}

// isReady waits until the worker of a generation has said that it is.
func (d *daemon) isReady(generation int) {
	d.t.Helper()
	d.sees(1, fmt.Sprintf(`^worker %d is ready after`, d.worker(generation)))
}
