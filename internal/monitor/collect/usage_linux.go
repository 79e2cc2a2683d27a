package collect

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time that a process has used, all its threads together; not ok if it is
// gone. The clock of a process is asked (clock_getcpuclockid(3)): that takes a microsecond,
// and /proc/PID/stat forty.
func cpuTime(pid int) (used time.Duration, ok bool) {
	const scheduled = 2 // CPUCLOCK_SCHED
	if pid > maxPid {
		return 0, false
	}
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}

// maxPid is the highest pid of Linux (PID_MAX_LIMIT).
const maxPid = 1 << 22

var pssKey = []byte("\nPss:")

// memory is the proportional set size of a process in bytes; 0 if we may not look.
func memory(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, pssKey)
	line, _, _ := bytes.Cut(rest, []byte{'\n'})
	words := bytes.Fields(line)
	if len(words) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(string(words[0]), 10, 40)
	if err != nil {
		return 0
	}
	return kib << 10
}
