package socket

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// holders are the processes that have sockets open at the address, in ascending order.
func (s *Socket) holders() []int {
	inodes := s.inodes()
	if len(inodes) == 0 {
		return nil
	}
	var pids []int
	found, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range found {
		name, err := os.Readlink(path)
		if err != nil || !slices.Contains(inodes, name) {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(path, "/")[2]); err == nil && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// inodes are the sockets at the path or the port, whatever the address, as /proc/PID/fd names
// them.
func (s *Spec) inodes() []string {
	if s.Path != "" {
		return boundTo(s.Path)
	}
	kind := "tcp"
	if s.UDP {
		kind = "udp"
	}
	return append(atPort(kind, s.Port), atPort(kind+"6", s.Port)...)
}

// atPort are the sockets bound to a port, without connections, as /proc/PID/fd names them.
// file is the name of a file in /proc/net.
func atPort(file string, port uint16) []string {
	const state, listening, unconnected, inode = 3, "0A", "07", 9
	var sockets []string
	for _, fields := range table(file) {
		if len(fields) <= inode || !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			continue
		}
		if fields[state] == listening || fields[state] == unconnected {
			sockets = append(sockets, "socket:["+fields[inode]+"]")
		}
	}
	return sockets
}

// boundTo are the sockets that were bound by this path or by its absolute form.
func boundTo(path string) []string {
	const inode, name = 6, 7
	absolute, _ := filepath.Abs(path)
	var sockets []string
	for _, fields := range table("unix") {
		if len(fields) <= name {
			continue
		}
		if is := strings.Join(fields[name:], " "); is == fd.SocketName(path) || is == absolute {
			sockets = append(sockets, "socket:["+fields[inode]+"]")
		}
	}
	return sockets
}

// table is the fields of each line of a file in /proc/net.
func table(file string) (all [][]string) {
	lines, _ := os.ReadFile("/proc/self/net/" + file)
	for line := range strings.Lines(string(lines)) {
		all = append(all, strings.Fields(line))
	}
	return all
}

// maxCommand is how many bytes of a command line are told.
const maxCommand = 60

// commandOf is the command line of a process, or its beginning.
func commandOf(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")
	if words == "" {
		return "gone"
	}
	if len(words) > maxCommand {
		words = words[:maxCommand] + "..."
	}
	return text.Line(words)
}
