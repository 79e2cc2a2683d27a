//go:build !linux

package proc

import "iter"

// Memory is known on Linux only.
func Memory([]int) map[int]int64 { return nil }

// Tree is, too.
func Tree(int) iter.Seq[int] { return func(func(int) bool) {} }
