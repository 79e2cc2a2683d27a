//go:build unix

package text

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWaitStatusInWords(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		0:          "exit code 0",
		1 << 8:     "exit code 1",
		255 << 8:   "exit code 255",
		9:          "killed by signal 9 (KILL)",
		11 | 0x80:  "killed by signal 11 (SEGV), core dumped",
		126:        "killed by signal 126",
		127 << 8:   "exit code 127",
		143 << 8:   "exit code 143",
		15 | 1<<16: "killed by signal 15 (TERM)",
	} {
		assert.Equal(t, want, ExitStatus(status), "%d", status)
	}
}

func TestExitInFewWords(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "exit code 0", Exit(0))
	assert.Equal(t, "exit code 3", Exit(3<<8))
	assert.Equal(t, "killed by signal 9", Exit(9))
	assert.Equal(t, "killed by signal 11", Exit(11|0x80), "with a core")
}
