package output

import "sync"

// What may wait to be written to a log that takes nothing.
const (
	maxWaiting      = 10000   // lines
	maxWaitingBytes = 1 << 20 // of these lines together
)

// bound counts the lines that wait. Lines of workers do not count: the worker itself waits
// until its line is in the log.
type bound struct {
	mu          sync.Mutex
	lines, size int
	left        int // lines that were left out since the last one that was not
}

// admit tells whether there is room for a line of size bytes.
func (b *bound) admit(size int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lines >= maxWaiting || b.size+size > maxWaitingBytes {
		b.left++
		return false
	}
	b.lines++
	b.size += size
	return true
}

// written takes back what admit counted. When no line waits any more it returns how many were
// left out; otherwise 0.
func (b *bound) written(size int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines--
	b.size -= size
	if b.lines > 0 {
		return 0
	}
	left := b.left
	b.left = 0
	return left
}
