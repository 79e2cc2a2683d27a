//go:build unix

package main

import "syscall"

// refused says that nobody listens.
const refused = syscall.ECONNREFUSED
