package runfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// holds tells whether the process pid has f locked. A lock alone proves nothing: any process
// that can read the file can lock it. Without a /proc the answer is yes.
func holds(f *os.File, pid int) bool {
	holders, err := holders(f)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return slices.Contains(holders, pid) || locksByDescriptor(f, pid)
}

// heldByStrangers tells whether f is locked, and only by processes of users other than root
// and ours.
func heldByStrangers(f *os.File) bool {
	holders, err := holders(f)
	if err != nil || len(holders) == 0 {
		return false
	}
	return !slices.ContainsFunc(holders, func(pid int) bool {
		uids := usersOf(pid)
		return len(uids) == 0 || slices.Contains(uids, 0) || slices.Contains(uids, os.Geteuid())
	})
}

// holders are the processes that have f locked, as far as /proc/locks tells: on some file
// systems (overlay, btrfs) it names another device than stat(2).
func holders(f *os.File) ([]int, error) {
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	var pids []int
	for line := range strings.Lines(string(text)) {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:00:12345 0 EOF. A -> before the kind: it waits.
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// locksByDescriptor tells whether a process has f open and locked. It works for processes whose
// descriptors we may see: those that we may signal.
func locksByDescriptor(f *os.File, pid int) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	proc := "/proc/" + strconv.Itoa(pid)
	entries, _ := os.ReadDir(proc + "/fd")
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		open, err := os.Stat(proc + "/fd/" + e.Name())
		if err != nil || !os.SameFile(open, info) {
			return false
		}
		said, _ := os.ReadFile(proc + "/fdinfo/" + e.Name())
		return bytes.Contains(said, []byte("\nlock:"))
	})
}

// runsAs tells whether uid is the real or the effective user of a process.
func runsAs(pid, uid int) bool { return slices.Contains(usersOf(pid), uid) }

// usersOf are the real and the effective user of a process; none if it is gone.
func usersOf(pid int) []int {
	real, effective, err := fd.Users(pid)
	if err != nil {
		return nil
	}
	return []int{real, effective}
}
