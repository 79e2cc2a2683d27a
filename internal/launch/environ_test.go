package launch

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheLastOfEachNameCounts(t *testing.T) {
	t.Parallel()
	assert.Equal(t, Environ{"B=2", "A=3", "C"}, Unique([]string{"A=1", "B=2", "A=3", "C"}))
	assert.Empty(t, Unique(nil))
}

func TestWithLeavesTheOriginalAlone(t *testing.T) {
	t.Parallel()
	e := Environ{"A=1", "AB=2", "C=3"}
	assert.Equal(t, Environ{"AB=2", "C=3", "A=4", "D=5"}, e.With("A=4", "D=5"))
	assert.Equal(t, Environ{"AB=2"}, e.Without(func(name string) bool { return name != "AB" }))
	assert.Equal(t, Environ{"A=1", "AB=2", "C=3"}, e)
	assert.Equal(t, "2", e.Get("AB"))
	assert.Empty(t, e.Get("B"))
}
