package proc

import (
	"bytes"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Memory says how many bytes of memory each process has with all its descendants: their
// proportional share (PSS, proc_pid_smaps(5)) where we may read it, what is resident (RSS)
// otherwise. A process that is not there is left out. It reads a few files for each.
func Memory(pids []int) map[int]int64 {
	memory := make(map[int]int64, len(pids))
	for _, pid := range pids {
		if total := treeMemory(pid); total > 0 {
			memory[pid] = total
		}
	}
	return memory
}

// maxTree is how many descendants are looked at, at most.
const maxTree = 10000

func treeMemory(pid int) (total int64) {
	for p := range Tree(pid) {
		total += OwnMemory(p)
	}
	return total
}

// Tree yields a process and its descendants, which may come and go meanwhile.
func Tree(pid int) iter.Seq[int] {
	return func(yield func(int) bool) {
		tree := []int{pid}
		for i := 0; i < len(tree) && i < maxTree; i++ {
			if !yield(tree[i]) {
				return
			}
			for _, child := range sons(tree[i]) {
				if !slices.Contains(tree, child) {
					tree = append(tree, child)
				}
			}
		}
	}
}

// OwnMemory is what Memory says of one process without its descendants; 0: it is not there.
func OwnMemory(pid int) int64 {
	if size, ok := PSS(pid); ok {
		return size
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

// PSS is the proportional set size of a process in bytes; not ok if it is not there, or we
// may not look. The larger the process, the longer that takes: a millisecond is usual.
func PSS(pid int) (size int64, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		if rest, is := bytes.CutPrefix(line, []byte("Pss:")); is {
			kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 40)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

// sons are the children of all threads of a process.
func sons(pid int) (children []int) {
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, field := range bytes.Fields(text) {
			if n, err := strconv.Atoi(string(field)); err == nil {
				children = append(children, n)
			}
		}
	}
	return children
}
