package fd

import "io"

// WriteAll writes all of text to w.
func WriteAll(w io.Writer, text string) error {
	_, err := WriteMost(w, text)
	return err
}

// WriteMost is WriteAll, and returns how many bytes were written: after an error fewer than all.
func WriteMost(w io.Writer, text string) (written int, err error) { return io.WriteString(w, text) }
