//go:build !linux

package runfile

import "time"

func nextTick() time.Duration { return 0 }

// bornSince is always true: this system does not tell when a process was started.
func bornSince(int, time.Duration) bool { return true }

// running tells whether a process is there.
func running(pid int) bool { return alive(pid) }
