package text

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestDurationsAreSecondsOrHaveAUnit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "-0": 0, "2": 2 * time.Second, "0.5": 500 * time.Millisecond, ".25": 250 * time.Millisecond,
		"300ms": 300 * time.Millisecond, "1m30s": 90 * time.Second, "1h": time.Hour, " 7 ": 7 * time.Second,
		"0.1": 100 * time.Millisecond, "1e3": 1000 * time.Second, "3153600000": maxDuration,
	} {
		d, err := ParseDuration(text)
		assert.NoError(t, err, text)
		assert.Equal(t, want, d, text)
	}
}

func TestBadDurationSaysWhy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":           `"" is not a duration such as 2, 0.5 or 300ms`,
		"x":          `"x" is not a duration`,
		"1 s 2":      `"1 s 2" is not a duration`,
		"5x":         `"5x" is not a duration`,
		"nan":        `"nan" is not a duration`,
		"1e999":      `"1e999" is not a duration`,
		"-1":         `duration "-1" is negative`,
		"-1ns":       `duration "-1ns" is negative`,
		"-inf":       `duration "-inf" is negative`,
		"inf":        `duration "inf" is longer than a hundred years`,
		"1e18":       `duration "1e18" is longer`,
		"3153600001": `duration "3153600001" is longer`,
		"876001h":    `duration "876001h" is longer`,
	} {
		d, err := ParseDuration(text)
		assert.ErrorContains(t, err, want)
		assert.Zero(t, d, text)
	}
}

func TestSecondsAreWrittenWithoutAnExponent(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0", 5 * time.Second: "5", 300 * time.Millisecond: "0.3", time.Nanosecond: "0.000000001", maxDuration: "3153600000",
	} {
		assert.Equal(t, want, Seconds(d))
	}
}
