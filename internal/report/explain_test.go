package report

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestExplainLeavesOtherErrorsAlone(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	assert.Equal(t, other, Explain(other, newWritten().Output))
	assert.NoError(t, Explain(nil, newWritten().Output))
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
