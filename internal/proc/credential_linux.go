package proc

import "golang.org/x/sys/unix"

func maySetUID() bool { return may(unix.CAP_SETUID) }
func maySetGID() bool { return may(unix.CAP_SETGID) }

// may says whether we have a capability, and still have it after exec:
// root does, others if it is an ambient one (capabilities(7)).
func may(capability uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil || data[0].Effective&(1<<capability) == 0 {
		return false
	}
	if unix.Geteuid() == 0 {
		return true
	}
	set, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, uintptr(capability), 0, 0)
	return err == nil && set == 1
}
