package fd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Tick is the unit of the time at which a process was started: USER_HZ is 100 everywhere.
const Tick = 10 * time.Millisecond

// Stat is some of what the kernel says of a process (proc_pid_stat(5)).
type Stat struct {
	State   byte          // the letter that proc(5) has for it
	Parent  int           // its pid
	Group   int           // the process group's
	Started time.Duration // since the system's start, in whole ticks
}

// Uptime is the time now by the clock of Stat.Started, in whole ticks. 0: it is not known.
func Uptime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano()).Truncate(Tick)
}

// ReadStat reads /proc/PID/stat. The error says that the process is gone, or that /proc
// does not show it.
func ReadStat(pid int) (Stat, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	line, err := os.ReadFile(path)
	if err != nil {
		return Stat{}, err
	}
	s, err := parseStat(string(line))
	if err != nil {
		return Stat{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// parseStat looks for the last ")", which ends the program's name: that may hold anything.
func parseStat(line string) (Stat, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 20 {
		return Stat{}, fmt.Errorf("%q is too short", line)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return Stat{}, err
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return Stat{}, err
	}
	group, err := strconv.Atoi(fields[2])
	if err != nil {
		return Stat{}, err
	}
	return Stat{State: fields[0][0], Parent: parent, Group: group, Started: time.Duration(ticks) * Tick}, nil
}

// Users are the real and the effective user of a process.
func Users(pid int) (real, effective int, err error) {
	path := "/proc/" + strconv.Itoa(pid) + "/status"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\nUid:") // the name on the first line has no newline
	if _, err := fmt.Sscan(rest, &real, &effective); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	return real, effective, nil
}
