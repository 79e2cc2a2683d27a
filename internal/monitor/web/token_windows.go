package web

import (
	"io/fs"
	"os"
)

func openToken(path string) (*os.File, error) { return os.Open(path) }

// exposed cannot tell on Windows which users may read a file.
func exposed(fs.FileInfo) string { return "" }
