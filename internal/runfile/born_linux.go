package runfile

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of starttime in proc_pid_stat(5): USER_HZ is 100 everywhere.
const tick = 10 * time.Millisecond

// uptime is the clock that processes' starts are told by, in whole ticks.
func uptime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano()).Truncate(tick)
}

// nextTick waits until the next tick has begun, and returns its time. Whatever
// was started before the call has an earlier one.
func nextTick() time.Duration {
	now := uptime()
	for next := now; ; next = uptime() {
		if next != now || now == 0 {
			return next
		}
		time.Sleep(tick / 20)
	}
}

// bornSince tells whether a process was started at that uptime or later. One
// that is not there to be looked at is taken to be.
func bornSince(pid int, since time.Duration) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return true
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	return err != nil || time.Duration(ticks)*tick >= since
}
