package fd

import "io"

// WriteAll writes all of text to w.
func WriteAll(w io.Writer, text string) error {
	_, err := WriteMost(w, text)
	return err
}

// WriteMost is WriteAll that returns how many bytes were written, fewer than all with an error.
func WriteMost(w io.Writer, text string) (written int, err error) { return io.WriteString(w, text) }
