//go:build unix && !linux

package fd

import "os"

// buffered does nothing: no write fails here because it is not aligned.
func buffered(*os.File) bool { return false }
