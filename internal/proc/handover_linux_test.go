package proc

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Not parallel, because no other Wait may go on meanwhile.
func TestChildIsHandedOver(t *testing.T) {
	start := func(script string) *Process {
		p, err := Start(Command{Args: []string{"/bin/sh", "-c", script}, Env: os.Environ(), Files: []int{0, 1, 2}, Group: true})
		require.NoError(t, err)
		return p
	}
	runs, ended := start("trap 'exit 4' TERM; while :; do sleep 0.01; done"), start("exit 3")
	require.Equal(t, 3<<8, ended.Wait())
	ends := start("exit 5")
	release, err := HoldWaits()
	require.NoError(t, err)
	waits := make(chan int, 1)
	go func() { waits <- ends.Wait() }()
	require.Eventually(t, ends.Ended, time.Minute, time.Millisecond)
	assert.Empty(t, waits, "it is for the next image to wait for")
	hands := []Handed{runs.Hand(), ended.Hand(), ends.Hand()}
	assert.Equal(t, []Handed{{Pid: runs.Pid(), Group: true}, {Pid: ended.Pid(), Group: true, Ended: true, Status: 3 << 8}, {Pid: ends.Pid(), Group: true}}, hands)
	_, err = HoldWaits()
	assert.ErrorContains(t, err, "an ended worker cannot be reaped")
	release()
	assert.Equal(t, 5<<8, <-waits, "an upgrade that fails loses nothing")
	adopted := Adopt(hands[0])
	assert.False(t, adopted.Ended())
	require.NoError(t, adopted.Signal(syscall.SIGKILL))
	assert.Equal(t, 9, adopted.Wait())
	gone := Adopt(hands[1])
	assert.True(t, gone.Ended())
	assert.Equal(t, 3<<8, gone.Wait())
	assert.NoError(t, gone.Signal(syscall.SIGTERM), "nobody else of that pid gets it")
}
