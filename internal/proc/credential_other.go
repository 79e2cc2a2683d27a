//go:build unix && !linux

package proc

import "syscall"

func maySetUID() bool { return syscall.Geteuid() == 0 }
func maySetGID() bool { return syscall.Geteuid() == 0 }
func maySignal() bool { return syscall.Geteuid() == 0 }

func mayNice(add int) bool { return add >= 0 || syscall.Geteuid() == 0 }

func otherIDs(uid, gid int) (user, group bool) {
	return syscall.Getuid() != uid || syscall.Geteuid() != uid, syscall.Getgid() != gid || syscall.Getegid() != gid
}
