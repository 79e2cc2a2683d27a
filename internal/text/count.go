package text

import "strconv"

// Count is "1 worker" or "2 workers".
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
