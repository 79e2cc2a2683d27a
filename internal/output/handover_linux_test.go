package output

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A log that takes nothing keeps a relay from being held in time. When it goes on, all goes on.
func TestRelayThatCouldNotBeHeldGoesOn(t *testing.T) {
	t.Parallel()
	reads, writes, err := os.Pipe()
	require.NoError(t, err)
	defer reads.Close()
	o := New(writes, "a test")
	full := make([]byte, 1<<20)
	_ = writes.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	filled, err := writes.Write(full)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_ = writes.SetWriteDeadline(time.Time{})

	r, err := o.Relay()
	require.NoError(t, err)
	from := os.NewFile(uintptr(r.Descriptor()), "worker")
	worker, err := dup(from)
	require.NoError(t, err)
	r.Begin(7)
	_, err = worker.WriteString("first\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { // it was read
		o.relays.log.early.mu.Lock()
		defer o.relays.log.early.mu.Unlock()
		return o.relays.log.early.busy
	}, 15*time.Second, time.Millisecond)
	h, release := o.Hand()
	require.Len(t, h.Relays, 1)
	release()
	buffer := make([]byte, filled)
	for n := 0; n < filled; {
		more, err := reads.Read(buffer)
		require.NoError(t, err)
		n += more
	}
	_, err = worker.WriteString("second\n")
	require.NoError(t, err)
	worker.Close()
	var got string
	for len(got) < len("[7] first\n[7] second\n") {
		n, err := reads.Read(buffer)
		require.NoError(t, err)
		got += string(buffer[:n])
	}
	assert.Equal(t, "[7] first\n[7] second\n", got)
	o.Wait()
}
