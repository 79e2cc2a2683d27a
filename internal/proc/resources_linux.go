package proc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// resources are the kernel's resources, by the names of prlimit(1).
var resources = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// check says why a program cannot be given the limit.
func (l Limit) check() error {
	var ours unix.Rlimit
	if err := unix.Getrlimit(resources[l.Name], &ours); err != nil {
		return fmt.Errorf("limit %s: %w", l.Name, err)
	}
	if l.Hard > ours.Max && !may(unix.CAP_SYS_RESOURCE) {
		return fmt.Errorf("limit %s: our hard limit is %d: to raise it needs CAP_SYS_RESOURCE", l.Name, ours.Max)
	}
	return nil
}
