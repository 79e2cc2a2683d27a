//go:build unix && !linux

package prober

import "syscall"

// attributes makes a command lead a process group.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
