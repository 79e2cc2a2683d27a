package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// facts is the head of the table, about the machine.
func facts(n int) string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		panic(err) // cannot fail with a valid pointer
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	return fmt.Sprintf("%s, %d cores, Linux %s, %s\nmedians of %d (starts: of %d); load average before: %s\n",
		cpuModel(), runtime.NumCPU(), unix.ByteSliceToString(name.Release[:]), runtime.Version(),
		n, cheap*n, strings.TrimSpace(string(load)))
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
