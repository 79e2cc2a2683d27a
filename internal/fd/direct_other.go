//go:build unix && !linux

package fd

import "os"

// buffered does nothing: nothing makes writing fail for not being aligned.
func buffered(*os.File) bool { return false }
