package ctl

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// fakeUsage is a usage whose clock goes forward only by the time that adding up memory takes.
type fakeUsage struct {
	*usage
	clock time.Time
	used  map[int]time.Duration
	takes map[int]time.Duration // to add up the memory
	asked []int                 // for their memory, since the last look
}

func newFakeUsage() *fakeUsage {
	f := &fakeUsage{usage: newUsage(), clock: time.Unix(1e9, 0), used: map[int]time.Duration{}, takes: map[int]time.Duration{}}
	f.now = func() time.Time { return f.clock }
	f.cpuTime = func(pid int) (time.Duration, bool) { used, ok := f.used[pid]; return used, ok }
	f.memory = func(pid int) int64 {
		f.asked = append(f.asked, pid)
		f.clock = f.clock.Add(f.takes[pid])
		return int64(pid) << 20
	}
	return f
}

// lookAfter looks again a while later.
func (f *fakeUsage) lookAfter(d time.Duration, pids ...int) {
	f.clock = f.clock.Add(d)
	f.asked = nil
	f.look(pids)
}

func TestCPUIsThatSinceTheLastLook(t *testing.T) {
	t.Parallel()
	f := newFakeUsage()
	f.used[7] = 5 * time.Second
	f.look([]int{7, 7, 8})
	first, ok := f.of(7)
	assert.True(t, ok)
	assert.Equal(t, use{memory: 7 << 20, cpu: -1}, first, "how fast it is can be told the next time")
	_, ok = f.of(8)
	assert.False(t, ok, "it is not there")

	f.used[7] += 500 * time.Millisecond
	f.lookAfter(2*time.Second, 7)
	next, _ := f.of(7)
	assert.InDelta(t, 0.25, next.cpu, 1e-9)

	f.used[7] = time.Second // another process, by the same pid
	f.lookAfter(time.Second, 7)
	other, _ := f.of(7)
	assert.Equal(t, -1.0, other.cpu)

	f.lookAfter(time.Second)
	_, ok = f.of(7)
	assert.False(t, ok, "nobody has asked for it")
}

// However many processes there are, and however large, adding up their memory takes a fiftieth of
// the time, and each has its turn.
func TestMemoryIsAddedUpNowAndThen(t *testing.T) {
	t.Parallel()
	f := newFakeUsage()
	var pids []int
	for pid := 1; pid <= 200; pid++ {
		pids = append(pids, pid)
		f.used[pid], f.takes[pid] = 0, 5*time.Millisecond
	}
	f.look(pids)
	assert.Len(t, f.asked, 40, "0.2 s for the first picture")
	turns := map[int]bool{}
	for range 40 {
		f.lookAfter(time.Second, pids...)
		assert.LessOrEqual(t, len(f.asked), 4)
		for _, pid := range f.asked {
			turns[pid] = true
		}
	}
	assert.Len(t, turns, 160, "of those that were not in the first")
	old, _ := f.of(1)
	assert.Equal(t, int64(1<<20), old.memory, "it stays while others have their turn")

	f.takes[1] = 500 * time.Millisecond
	f.lookAfter(time.Second, 1)
	assert.Equal(t, []int{1}, f.asked)
	for range 23 {
		f.lookAfter(time.Second, 1)
		assert.Empty(t, f.asked, "it has had the time of 24 s")
	}
	f.lookAfter(2*time.Second, 1)
	assert.Equal(t, []int{1}, f.asked)
}
