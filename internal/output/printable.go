package output

import words "github.com/lestrrat/go-server-starter/internal/text"

// printable is a line of our own, or some: what of it others have named cannot be printed
// as more than letters.
func printable(lines string) string { return words.Lines(lines) }
