package proc

import "golang.org/x/sys/unix"

// MaxFiles is the process's soft RLIMIT_NOFILE; 0 if it is not known.
func (p *Process) MaxFiles() uint64 {
	var limit unix.Rlimit
	if unix.Prlimit(p.pid, unix.RLIMIT_NOFILE, nil, &limit) != nil {
		return 0
	}
	return limit.Cur
}
