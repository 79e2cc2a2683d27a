//go:build !linux

// Command bench needs Linux: it reads /proc and compares with a Debian program.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: the benchmark needs Linux")
	os.Exit(1)
}
