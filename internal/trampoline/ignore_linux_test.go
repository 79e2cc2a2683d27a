package trampoline

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What os/signal catches is ignored for a while, and then caught as before. Not parallel:
// signals are the process's.
func TestIgnoreForAWhile(t *testing.T) {
	caught := make(chan os.Signal, 10)
	signal.Notify(caught, syscall.SIGWINCH)
	defer signal.Stop(caught)
	self := func() { require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGWINCH)) }
	assert.False(t, Ignored(syscall.SIGWINCH))
	restore := Ignore(syscall.SIGWINCH)
	assert.True(t, Ignored(syscall.SIGWINCH))
	again := Ignore(syscall.SIGWINCH)
	again()
	assert.True(t, Ignored(syscall.SIGWINCH), "it was ignored already")
	self()
	restore()
	self()
	assert.Equal(t, syscall.SIGWINCH, <-caught)
	signal.Stop(caught)
	assert.Empty(t, caught, "the first one was ignored")

	restore = Ignore(syscall.SIGTTIN)
	defer restore()
	Heed([]syscall.Signal{syscall.SIGTTIN, syscall.SIGWINCH})
	assert.False(t, Ignored(syscall.SIGTTIN))
}
