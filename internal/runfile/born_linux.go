package runfile

import (
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// nextTick blocks until the next tick begins, and returns its time. Every process that was
// started before the call has an earlier one.
func nextTick() time.Duration {
	now := fd.Uptime()
	for next := now; ; next = fd.Uptime() {
		if next != now || now == 0 {
			return next
		}
		time.Sleep(fd.Tick / 20)
	}
}

// bornSince tells whether a process was started at that uptime or later. It is true for a
// process that is gone.
func bornSince(pid int, since time.Duration) bool {
	stat, err := fd.ReadStat(pid)
	return err != nil || stat.Started >= since
}

// running tells whether a process is there and has not ended.
func running(pid int) bool {
	stat, err := fd.ReadStat(pid)
	return alive(pid) && (err != nil || stat.State != 'Z')
}
