package wire

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var request = Request{
	ID: 1<<32 - 1, Kind: Exec, Timeout: 1500 * time.Millisecond, Host: "localhost:80", Path: "/a?b",
	Command: "true\nfalse", Env: []string{"A=b", "", "C=\xff"}, Descriptors: 3,
}

func TestRequestsAndAnswersComeAsTheyWere(t *testing.T) {
	t.Parallel()
	frame, err := request.Encode()
	require.NoError(t, err)
	answer := Answer{ID: 7, Result: Late, Reason: "why\x1b\xff"}
	both := io.MultiReader(bytes.NewReader(frame), bytes.NewReader(answer.Encode()))
	in := iotest.OneByteReader(both)
	payload, err := ReadFrame(in, MaxRequest)
	require.NoError(t, err)
	got, err := DecodeRequest(payload)
	assert.NoError(t, err)
	assert.Equal(t, request, got)
	payload, err = ReadFrame(in, MaxAnswer)
	require.NoError(t, err)
	gotAnswer, err := DecodeAnswer(payload)
	assert.NoError(t, err)
	assert.Equal(t, answer, gotAnswer)
	_, err = ReadFrame(in, MaxAnswer)
	assert.Equal(t, io.EOF, err)
}

func TestFramesAreBounded(t *testing.T) {
	t.Parallel()
	_, err := (&Request{Command: strings.Repeat("a", MaxRequest)}).Encode()
	assert.ErrorContains(t, err, "too long; 524288 fit")
	long := Answer{Result: Failed, Reason: strings.Repeat("a", MaxReason+1)}
	got, err := DecodeAnswer(long.Encode()[4:])
	assert.NoError(t, err)
	assert.Len(t, got.Reason, MaxReason)
	for text, want := range map[string]string{
		"\x00\x00\x0f\xfdrest": "a frame of 4093 bytes is too long",
		"\xff\xff\xff\xffrest": "a frame of 4294967295 bytes is too long",
		"\x00\x00\x0f\xfcrest": "unexpected EOF",
		"\x00\x00\x00":         "unexpected EOF",
	} {
		_, err := ReadFrame(strings.NewReader(text), MaxAnswer)
		assert.EqualError(t, err, want)
	}
}

func TestWhatIsNoFrame(t *testing.T) {
	t.Parallel()
	frame := func(texts ...string) []byte { return encode(texts)[4:] }
	for want, payload := range map[string][]byte{
		"the frame does not hold what it says":              {},
		"the frame does not hold what it says ":             {0, 0},
		"the frame does not hold what it says  ":            {0, 0, 0, 9, '1'},
		"the frame does not hold what it says   ":           frame("1", "2", "passed"),
		`it is of version "2" of the format, not 1`:         frame("2", "1", "passed", ""),
		`"x" is not a number from 0 to 4294967295`:          frame("1", "x", "passed", ""),
		`"4294967296" is not a number from 0 to 4294967295`: frame("1", "4294967296", "passed", ""),
		`result "fine" is not known`:                        frame("1", "1", "fine", ""),
		"5 texts are too many":                              frame("1", "1", "passed", "", ""),
		"a reason of 401 bytes is too long":                 frame("1", "1", "failed", strings.Repeat("a", 401)),
	} {
		_, err := DecodeAnswer(payload)
		assert.EqualError(t, err, strings.TrimRight(want, " "))
	}
	for want, payload := range map[string][]byte{
		"the frame does not hold what it says":       frame("1", "1", "http", "1", "0", "", ""),
		`kind "ftp" is not known`:                    frame("1", "1", "ftp", "1", "0", "", "", ""),
		`"-1" is not a number from 0 to 4294967295`:  frame("1", "-1", "http", "1", "0", "", "", ""),
		`"" is not a number from 0 to 1099511627776`: frame("1", "1", "http", "", "0", "", "", ""),
		`"4097" is not a number from 0 to 4096`:      frame("1", "1", "http", "1", "4097", "", "", ""),
	} {
		_, err := DecodeRequest(payload)
		assert.EqualError(t, err, want)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, a := range []Answer{{ID: 1, Result: Passed}, {ID: 9, Result: Failed, Reason: "status 500"}, {Result: Late}} {
		f.Add(a.Encode()[4:])
	}
	f.Add([]byte{0, 0, 0, 1, '1', 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := DecodeAnswer(payload)
		if err != nil {
			require.Less(t, len(err.Error()), 400)
			return
		}
		again, err := DecodeAnswer(a.Encode()[4:])
		require.NoError(t, err)
		require.Equal(t, a, again)
	})
}
