package text

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are the letters that a size may end with, and how many bytes each stands for.
var units = []struct {
	letter string
	bytes  int64
}{{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}}

// ParseSize reads a number of bytes, 1 at least: 1048576, 1024K, 1M. The unit may be in lower case,
// and B or iB may follow it.
func ParseSize(text string) (int64, error) {
	number, factor := strings.ToUpper(strings.TrimSpace(text)), int64(1)
	number = strings.TrimSuffix(strings.TrimSuffix(number, "B"), "I")
	for _, u := range units {
		if rest, is := strings.CutSuffix(number, u.letter); is {
			number, factor = rest, u.bytes
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n > 0) || n*float64(factor) >= math.MaxInt64 || n*float64(factor) < 1 {
		return 0, fmt.Errorf("%q is not a size such as 512M", text)
	}
	return int64(n * float64(factor)), nil
}

// Size writes a number of bytes: 512 bytes, 512.0 MB.
func Size(n int64) string {
	unit, factor := "bytes", int64(1)
	for _, u := range units {
		if n >= u.bytes {
			unit, factor = u.letter+"B", u.bytes
		}
	}
	if factor == 1 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", float64(n)/float64(factor), unit)
}
