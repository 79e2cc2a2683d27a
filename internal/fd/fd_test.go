package fd

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPathsThatFitIntoASocketsAddress(t *testing.T) {
	t.Parallel()
	assert.NoError(t, CheckPath(strings.Repeat("x", 103)))
	assert.EqualError(t, CheckPath(strings.Repeat("x", 104)), "104 bytes are too long for a unix socket; 103 fit")
}
