package starter

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/lestrrat/go-server-starter/internal/handover"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/runfile"
)

// An image that cannot bind what it is to have goes back to the last one, which goes on with the
// orphans that it has handed over.
func TestOrphansAreKeptForTheLastImage(t *testing.T) {
	t.Parallel()
	handle, err := unix.PidfdOpen(os.Getpid(), 0)
	require.NoError(t, err)
	defer unix.Close(handle)
	held := &runfile.HeldOrphans{Orphans: []runfile.Orphan{{Pid: os.Getpid(), Handle: handle}}}
	s := &Starter{out: &output.Output{}}
	s.handed = &handover.Inherited{State: &handover.State{Orphans: held}}
	left := s.survive(t.Context())
	bind := errors.New("no such address")
	assert.Equal(t, bind, left.lost(s, bind))
	assert.NoError(t, unix.PidfdSendSignal(handle, 0, nil, 0), "its handle is open")
}
