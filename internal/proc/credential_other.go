//go:build unix && !linux

package proc

import "syscall"

func maySetUID() bool { return syscall.Geteuid() == 0 }
func maySetGID() bool { return syscall.Geteuid() == 0 }
