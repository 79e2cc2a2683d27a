package ctl

import "os"

// isLeft cannot tell whether a file has a reader: only a write shows it.
func isLeft(*os.File) bool { return false }

// resizes tells of nothing: the next picture has the new size.
func resizes() (changed <-chan os.Signal, stop func()) { return nil, func() {} }
