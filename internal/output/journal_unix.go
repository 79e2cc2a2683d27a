//go:build unix

package output

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// isJournal tells whether w is the stream to systemd's journal that JOURNAL_STREAM names, by
// device and inode.
func isJournal(w io.Writer, stream string) bool {
	f, ok := w.(*os.File)
	if !ok || stream == "" {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
