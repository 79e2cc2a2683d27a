//go:build unix

package signals

import (
	"context"
	"os"
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
	c := Table{syscall.SIGTERM: func(context.Context, string) { acted <- struct{}{} }}.Catch(t.Logf)
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
