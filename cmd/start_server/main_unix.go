//go:build unix

package main

import (
	"runtime"

	"github.com/lestrrat/go-server-starter/internal/proc"
)

func init() { runtime.LockOSThread() } // for ForkOnMain

func onMain(run func() int) int { return proc.ForkOnMain(run) }
