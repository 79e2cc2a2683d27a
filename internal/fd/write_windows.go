package fd

import "io"

// WriteAll writes all of text to w.
func WriteAll(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
