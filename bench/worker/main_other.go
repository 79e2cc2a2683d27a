//go:build !linux

// Command worker needs Linux, as the benchmark does.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "worker: the benchmark needs Linux")
	os.Exit(1)
}
