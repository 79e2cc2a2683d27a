//go:build !linux

package proc

import (
	"iter"
	"time"
)

// Memory is known on Linux only.
func Memory([]int) map[int]int64 { return nil }

// OwnMemory is known on Linux only.
func OwnMemory(int) int64 { return 0 }

// PSS is known on Linux only.
func PSS(int) (size int64, ok bool) { return 0, false }

// CPUTime is known on Linux only.
func CPUTime(int) (used time.Duration, ok bool) { return 0, false }

// Tree is known on Linux only.
func Tree(int) iter.Seq[int] { return func(func(int) bool) {} }
