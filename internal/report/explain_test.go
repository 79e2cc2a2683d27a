package report

import (
	"errors"
	"testing"

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
