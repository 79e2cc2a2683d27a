package text

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCountAndVerbAgree(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 sockets reach", 1: "1 socket reaches", 2: "2 sockets reach"} {
		assert.Equal(t, want, Count(n, "socket")+" "+Verb(n, "reaches", "reach"))
	}
}
