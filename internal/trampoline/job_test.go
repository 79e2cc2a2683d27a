package trampoline

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var jobs = []Job{
	{Paths: []string{"/bin/true"}, Args: []string{"true"}, Umask: -1},
	{
		Paths:        []string{"/a/prog", "./prog"},
		Args:         []string{"prog", "", "a b", "\xff\x00\n"},
		Env:          []string{"A=1", "", "GODEBUG=x", strings.Repeat("E", 1<<20)},
		Nice:         -20,
		Identity:     &Identity{UID: 1<<32 - 2, GID: 0, Groups: []int{0, 1<<32 - 2}, NewGroups: true, Apart: true},
		Parent:       1 << 22,
		Umask:        0o777,
		Dir:          "/srv",
		PidVariables: []string{"LISTEN_PID"},
		NoNewPrivs:   true,
		Limits:       []Limit{{7, 1, 1<<64 - 1}, {4, 0, 0}},
		Closed:       []int{0, 1, 2},
		Signals:      Signals{Ignored: []int{1, 13, 64}, Blocked: []uint64{1<<64 - 1, 1}},
	},
	{Paths: []string{""}, Args: []string{""}, Identity: &Identity{}},
}

func TestInstructionsArriveAsTheyAreSent(t *testing.T) {
	t.Parallel()
	for _, job := range jobs {
		message := job.Encode()
		length, ok := decodeHeader(message[:HeaderSize])
		require.True(t, ok)
		require.Equal(t, len(message)-HeaderSize, length)
		got, err := decodeBody(message[HeaderSize:])
		require.NoError(t, err)
		assert.Equal(t, job, *got)
	}
}

func TestGarbledInstructionsAreRefused(t *testing.T) {
	t.Parallel()
	for _, job := range jobs {
		body := job.Encode()[HeaderSize:]
		for n := 0; n < len(body); n += 1 + len(body)/500 {
			_, err := decodeBody(body[:n])
			require.Error(t, err, "cut off after %d of %d bytes", n, len(body))
		}
		_, err := decodeBody(append(slices.Clone(body), 0))
		assert.Error(t, err, "one byte too many")
	}
	for _, header := range []string{"", "start_server trampoline 2\n\x00\x00\x00\x00", magic} {
		_, ok := decodeHeader([]byte(header))
		assert.False(t, ok, "%q", header)
	}
}

func TestFailureArrivesAsItIsSent(t *testing.T) {
	t.Parallel()
	for _, f := range []Failure{{StepRead, 0}, {StepExec, 1<<32 - 1}} {
		b := f.Encode()
		assert.Len(t, b, FailureSize)
		got, ok := DecodeFailure(b)
		assert.True(t, ok)
		assert.Equal(t, f, got)
	}
	for _, text := range []string{"", "1234567", "123456789", "panic: x", "\x00\x00\x00\x00\x00\x00\x00\x00"} {
		_, ok := DecodeFailure([]byte(text))
		assert.False(t, ok, "%q", text)
	}
}

// What decodes is what encodes to the same. No input panics, or asks for more
// memory than it has brought.
func FuzzInstructions(f *testing.F) {
	for _, job := range jobs {
		f.Add(job.Encode()[HeaderSize:])
	}
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		job, err := decodeBody(body)
		if err != nil {
			return
		}
		assert.Equal(t, body, job.Encode()[HeaderSize:])
	})
}
