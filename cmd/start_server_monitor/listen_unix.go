//go:build unix

package main

import "syscall"

// refused is the error of connect(2) if no process listens.
const refused = syscall.ECONNREFUSED
