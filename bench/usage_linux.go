package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what a process has used so far.
type usage struct {
	pss      int // KiB, now
	ticks    int // CPU time, user and system
	switches int // context switches of all threads, voluntary or not
}

func readUsage(pid int) (usage, error) {
	var u usage
	var err error
	dir := fmt.Sprintf("/proc/%d/", pid)
	if u.pss, err = sumFields(dir+"smaps_rollup", "Pss:"); err != nil {
		return u, err
	}
	if u.ticks, err = readTicks(dir + "stat"); err != nil {
		return u, err
	}
	threads, err := filepath.Glob(dir + "task/*/status")
	if err != nil {
		return u, err
	}
	for _, status := range threads {
		n, err := sumFields(status, "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")
		if err != nil {
			return u, err
		}
		u.switches += n
	}
	return u, nil
}

// sumFields adds the numbers after the keys.
func sumFields(path string, keys ...string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	sum, found := 0, 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		for _, key := range keys {
			if len(fields) < 2 || fields[0] != key {
				continue
			}
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				return 0, fmt.Errorf("%s: %s: %w", path, key, err)
			}
			sum += n
			found++
		}
	}
	if found != len(keys) {
		return 0, fmt.Errorf("%s lacks some of %q", path, keys)
	}
	return sum, nil
}

// readTicks adds utime and stime. The program's name before them, in parentheses, may hold
// anything.
func readTicks(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3 // the numbers of proc(5), less the fields that were cut
	if len(fields) <= stime {
		return 0, fmt.Errorf("%s is too short", path)
	}
	user, errUser := strconv.Atoi(fields[utime])
	system, errSystem := strconv.Atoi(fields[stime])
	if errUser != nil || errSystem != nil {
		return 0, fmt.Errorf("%s has no times", path)
	}
	return user + system, nil
}

// cpuAtEnd blocks until a child has ended, and returns the CPU time that it has used, to
// the nanosecond; 0 if the system does not tell. The time of the child's own children is
// not in it; in what wait(2) tells it is. The child still has to be waited for.
func cpuAtEnd(pid int) time.Duration {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	const sched = 2 // CPUCLOCK_SCHED, for a process's clock (clock_getcpuclockid(3))
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &used); err != nil {
		return 0
	}
	return time.Duration(used.Nano())
}
