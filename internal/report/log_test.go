package report

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// written is an output, and what was written to it.
type written struct {
	*output.Output
	text testkit.Output
}

func newWritten() *written {
	w := &written{}
	w.Output = output.New(&w.text, "a test")
	return w
}

// lines are the lines that were written since the last call.
func (w *written) lines() string {
	w.Flush()
	w.Flush() // what the first Flush has led to
	return w.text.Take()
}

var worker = supervise.Worker{Generation: 2, Pid: 101}

func TestLogHasALineOfEachEvent(t *testing.T) {
	t.Parallel()
	out := newWritten()
	l := &Log{Out: out.Output}
	lived := supervise.Proven{Worker: worker, After: time.Second}
	l.Hear(supervise.Started{Worker: worker})
	l.Hear(lived)
	l.Hear(supervise.RestartAsked{Cause: "100 % sure"})
	l.Hear(supervise.Tally{})
	assert.Equal(t, "starting new worker 101\n100 % sure, spawning a new worker\n", out.lines())
	l.Verbose = true
	l.Hear(lived)
	assert.Equal(t, "worker 101 has lived for 1 secs\n", out.lines())
}

// The lines that are quoted are those of the worker, and not the line about its failure that
// follows them.
func TestTailOfALogIsKeptBeforeTheLineOfTheFailure(t *testing.T) {
	t.Parallel()
	out := newWritten()
	require.NoError(t, out.Open(filepath.Join(t.TempDir(), "log"), output.Config{}))
	defer out.Close()
	out.Mark(2)
	out.Now("cannot find my database")
	l := &Log{Out: out.Output}
	l.Hear(supervise.AttemptFailed{Failure: supervise.Failure{Worker: worker, Status: 256}})
	assert.Equal(t, []string{"cannot find my database"}, out.Tail(2))
}
