package proc

import "golang.org/x/sys/unix"

func maySetUID() bool { return may(unix.CAP_SETUID) }
func maySetGID() bool { return may(unix.CAP_SETGID) }

func maySignal() bool { return has(unix.CAP_KILL) }

// mayNice tells whether a program that we start may add so much to our niceness.
func mayNice(add int) bool {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 - niceness, see getpriority(2)
	var limit unix.Rlimit
	if err != nil || unix.Getrlimit(unix.RLIMIT_NICE, &limit) != nil {
		return true // setpriority(2) will say
	}
	return add >= 0 || may(unix.CAP_SYS_NICE) || uint64(min(raw-add, 40)) <= limit.Cur
}

// has tells whether we have a capability.
func has(capability uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[capability/32].Effective&(1<<(capability%32)) != 0
}

// may tells whether we have a capability and keep it over exec: root does, and any other
// user if it is an ambient one (capabilities(7)).
func may(capability uint) bool {
	if !has(capability) {
		return false
	}
	if unix.Geteuid() == 0 {
		return true
	}
	set, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, uintptr(capability), 0, 0)
	return err == nil && set == 1
}

func otherIDs(uid, gid int) (user, group bool) {
	r, e, s := unix.Getresuid()
	user = r != uid || e != uid || s != uid
	r, e, s = unix.Getresgid()
	return user, r != gid || e != gid || s != gid
}
