package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExplainLeavesOtherErrorsAlone(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	assert.Equal(t, other, Explain(other, newWritten().Output))
	assert.NoError(t, Explain(nil, newWritten().Output))
}

// The error of a failure has the last lines of its log, made printable. If the log has nothing of
// a failure, the error stays as it is.
func TestExplainQuotesTheLogOfTheGenerationThatFailed(t *testing.T) {
	t.Parallel()
	out := newWritten()
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, out.Open(path, output.Config{}))
	defer out.Close()
	out.Mark(2)
	require.NoError(t, os.WriteFile(path, []byte("cannot find\x1b[2J my database\nleaving\n"), 0o600)) // as a worker does
	failure := &supervise.Failure{Worker: worker, Status: 256, Lived: time.Second}
	out.Keep(2)
	why := Explain(fmt.Errorf("the start: %w", failure), out.Output)
	assert.EqualError(t, why, "the start: new worker 101 of generation 2 failed after 1s: exit code 1\nits log:\n  cannot find?[2J my database\n  leaving")
	assert.ErrorIs(t, why, failure)
	other := &supervise.Failure{Worker: supervise.Worker{Generation: 3, Pid: 102}, Status: 256, Lived: time.Second}
	out.Keep(3)
	assert.Equal(t, other, Explain(other, out.Output))
}

func TestRefusedTellsHowManyOthers(t *testing.T) {
	t.Parallel()
	out := newWritten()
	refused := Refused(out.Output)
	refused("it is 100 % too many", 0)
	refused("again", 3)
	assert.Equal(t, "refused on the control socket: it is 100 % too many\nrefused on the control socket: again, and 3 more since the last such line\n", out.lines())
}

func TestOrphansAreNamedWithTheirSignal(t *testing.T) {
	t.Parallel()
	out := newWritten()
	tell := Orphans(out.Output, 1500*time.Millisecond)
	tell([]int{11, 12}, syscall.SIGTERM)
	tell([]int{12}, os.Kill)
	assert.Equal(t, "sending TERM to orphans of workers:11,12\nsending KILL to orphans of workers that are still there 1.5 secs later:12\n", out.lines())
}
