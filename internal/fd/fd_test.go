package fd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPathsThatFitIntoASocketsAddress(t *testing.T) {
	t.Parallel()
	assert.NoError(t, CheckPath(strings.Repeat("x", maxPath())))
	assert.EqualError(t, CheckPath(strings.Repeat("x", 108)), fmt.Sprintf("108 bytes are too long for a unix socket; %d fit", maxPath()))
}
