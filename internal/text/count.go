package text

import "strconv"

// Count returns a number and a noun, as in "1 worker" and "2 workers".
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// Verb returns the form of a verb that goes with n of something, as in "1 worker is" and
// "2 workers are".
func Verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
