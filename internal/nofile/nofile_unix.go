//go:build unix

// Package nofile knows how many descriptors a worker may have.
package nofile

import "syscall"

// Limit is the soft RLIMIT_NOFILE that this process was started with, and its
// children are again; 0 if it is not known. Package os raises our own when it is
// initialized, so it must be read before that: Go initializes packages in the
// order of their import paths as soon as what they import is initialized (The Go
// Programming Language Specification, "Program initialization"), and this one
// imports nothing that needs os.
var Limit = read()

func read() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
