//go:build unix

package signals

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What has come before a Pause is known after it, and acted on, too. Not parallel: it
// sends signals to this process.
func TestPauseKnowsOfWhatHasCome(t *testing.T) {
	acted := make(chan struct{}, 8)
	c := Table{syscall.SIGTERM: func(context.Context, string) { acted <- struct{}{} }}.Catch(t.Logf, func(string) {})
	defer c.Stop()
	for range 3 {
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	}
	select {
	case <-acted:
	case <-time.After(time.Minute):
		t.Fatal("not acted on")
	}
	c.Pause()
	assert.True(t, c.Ended())
	c.Forget()
	assert.False(t, c.Ended())
	c.Add(syscall.SIGTERM)
	assert.True(t, c.Ended())
	c.Forget()
	c.Again(nil)
	assert.False(t, c.Ended())
}

// A signal that comes in the moment of a Pause is acted on and known, or neither.
func TestSignalInTheMomentOfAPause(t *testing.T) {
	survive := make(chan os.Signal, 1)
	signal.Notify(survive, syscall.SIGTERM)
	defer signal.Stop(survive)
	var acted, known atomic.Int64
	c := Table{syscall.SIGTERM: func(context.Context, string) { acted.Add(1) }}.Catch(t.Logf, func(string) {})
	defer c.Stop()
	left := c.Pause()
	for range signalsAtOnce / 2 { // one may be acted on twice
		c.Again(left)
		c.Forget()
		sent := make(chan error, 1)
		go func() { sent <- syscall.Kill(os.Getpid(), syscall.SIGTERM) }()
		left = c.Pause()
		if c.Ended() {
			known.Add(1)
		}
		require.NoError(t, <-sent)
		<-survive // it has come by now
	}
	c.Again(left)
	assert.Eventually(t, func() bool { return acted.Load() >= known.Load() }, time.Minute, time.Millisecond)
}

// Anyone who has broken into a worker of our user can send us signals without end. While a
// request waits for the loop, as during an upgrade, they are kept.
func TestASignalToStopFindsRoom(t *testing.T) {
	t.Parallel()
	busy, goOn, stopped := make(chan struct{}, signalsAtOnce+1), make(chan struct{}), make(chan struct{}, 1)
	c := Table{
		syscall.SIGHUP:  func(context.Context, string) { busy <- struct{}{}; <-goOn },
		syscall.SIGTERM: func(context.Context, string) { stopped <- struct{}{} },
	}.Catch(t.Logf, func(string) {})
	defer c.Stop()
	c.Add(syscall.SIGHUP)
	<-busy
	for range 2 * atOnce {
		c.Add(syscall.SIGHUP)
	}
	c.Add(syscall.SIGTERM)
	close(goOn)
	select {
	case <-stopped:
	case <-time.After(time.Minute):
		t.Error("it was lost")
	}
}

// What is to end is told so at once: an earlier request may wait for the loop, which does not
// run yet.
func TestSignalToStopIsToldWhileARequestBlocks(t *testing.T) {
	t.Parallel()
	blocks := make(chan struct{})
	block := func(ctx context.Context, _ string) { close(blocks); <-ctx.Done() }
	causes := make(chan string, 1)
	c := Table{syscall.SIGUSR2: block, syscall.SIGTERM: func(context.Context, string) { t.Error("acted on") }}.Catch(t.Logf, func(cause string) { causes <- cause })
	defer c.Stop()
	c.Add(syscall.SIGUSR2)
	<-blocks
	c.Add(syscall.SIGTERM)
	assert.Equal(t, "received TERM", <-causes)
}
