package text

import "strconv"

// Count is "1 worker" or "2 workers".
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// Verb is the one of two forms of a verb that goes with n of something, as in "1 worker
// is" and "2 workers are".
func Verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
