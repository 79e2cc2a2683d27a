//go:build unix

package main

import "syscall"

// gracefully is how a child is asked to stop, as einhorn's are.
const gracefully = syscall.SIGUSR2
