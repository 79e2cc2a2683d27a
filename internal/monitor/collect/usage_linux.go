package collect

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// The numbers of proc_pid_stat(5), less the two fields that stand before the last ")".
const (
	utime     = 14 - 3
	stime     = 15 - 3
	starttime = 22 - 3
)

// cpuTime is the CPU time that a process has used, and when it was started; not ok if it is
// gone.
func cpuTime(pid int) (used time.Duration, started uint64, ok bool) {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, false
	}
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:]) // the name before may hold anything
	if len(fields) <= starttime {
		return 0, 0, false
	}
	ticks := func(i int) uint64 {
		n, err := strconv.ParseUint(string(fields[i]), 10, 63)
		ok = ok && err == nil
		return n
	}
	ok = true
	used = time.Duration(ticks(utime)+ticks(stime)) * fd.Tick
	return used, ticks(starttime), ok
}

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
