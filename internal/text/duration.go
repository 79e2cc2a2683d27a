// Package text writes and reads durations, signals and counts, and makes foreign text fit to be
// shown.
package text

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Stamp is the format of a time in logs: RFC 3339 with milliseconds.
const Stamp = "2006-01-02T15:04:05.000Z07:00"

// maxDuration is the longest duration that is accepted: more than a century is a mistake.
const maxDuration = 100 * 365 * 24 * time.Hour

// ParseDuration reads a duration as all options take it: seconds, also with a
// fraction, or Go's units: "2", "0.5", "300ms", "1m30s". It is not negative,
// and not longer than a hundred years.
func ParseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	seconds, err := strconv.ParseFloat(s, 64)
	d := time.Duration(math.Round(seconds * float64(time.Second)))
	if err != nil {
		if d, err = time.ParseDuration(s); err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 2, 0.5 or 300ms", s)
		}
		seconds = d.Seconds()
	}
	switch {
	case math.IsNaN(seconds):
		return 0, fmt.Errorf("%q is not a duration such as 2, 0.5 or 300ms", s)
	case seconds < 0:
		return 0, fmt.Errorf("duration %q is negative", s)
	case seconds > maxDuration.Seconds():
		return 0, fmt.Errorf("duration %q is longer than a hundred years", s)
	}
	return d, nil
}

// Seconds writes a duration in seconds, as the log and the environment have it: "2", "0.3",
// never with an exponent.
func Seconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Second), 'f', -1, 64)
}
