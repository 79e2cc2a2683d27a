package collect

import (
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/proc"
)

func TestUsageOfThisProcess(t *testing.T) {
	t.Parallel()
	u := usage{processes: map[int]*process{}, pss: pss}
	s := &control.Status{Pid: os.Getpid(), Workers: []control.Worker{{ID: control.ID{Pid: os.Getppid()}}, {ID: control.ID{Pid: os.Getppid()}}, {ID: control.ID{Pid: -1}}, {ID: control.ID{Pid: 1 << 40}}}}
	now := time.Now()
	u.sample(s, now)
	first, total := u.view()
	assert.Len(t, first, 2)
	assert.Positive(t, first[os.Getpid()].PSS)
	assert.Zero(t, total, "what they had used before was not seen")
	for before, _ := proc.CPUTime(os.Getpid()); ; {
		if used, _ := proc.CPUTime(os.Getpid()); used-before > 20*time.Millisecond {
			break
		}
	}
	u.sample(s, now.Add(time.Millisecond))
	_, again := u.view()
	assert.Equal(t, total, again, "it is too early for another look")
	u.sample(s, now.Add(time.Second))
	later, more := u.view()
	assert.GreaterOrEqual(t, more.Superdaemon, total.Superdaemon+0.02)
	assert.Positive(t, later[os.Getpid()].CPU)
	delete(u.processes, os.Getpid()) // as if it had begun since the last look
	u.sample(s, now.Add(2*time.Second))
	_, all := u.view()
	used, _ := proc.CPUTime(os.Getpid())
	assert.InDelta(t, more.Superdaemon+used.Seconds(), all.Superdaemon, 0.5)
	more = all
	s.Workers = nil
	u.sample(s, now.Add(3*time.Second))
	gone, last := u.view()
	assert.Len(t, gone, 1)
	assert.Equal(t, more.Workers, last.Workers, "what it had used stays")
}

// What is known can be asked for all the same, and there is one look at a time.
func TestProcessThatCannotBeLookedAtHoldsNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		hangs := make(chan struct{})
		l := newLink(New(Config{}), "/run/app.ctl", true)
		l.usage.pss = func(int) int64 {
			looks.Add(1)
			<-hangs
			return 4711
		}
		status := func() *control.Status { return &control.Status{Pid: os.Getpid(), State: "serving"} }
		l.restate(status())
		assert.True(t, l.look().Up)
		assert.Empty(t, l.look().Processes)
		time.Sleep(time.Minute)
		l.restate(status())
		assert.EqualValues(t, 1, looks.Load())
		assert.Equal(t, time.Now(), l.look().Seen.Time)
		close(hangs)
		synctest.Wait()
		assert.EqualValues(t, 4711, l.look().Processes[os.Getpid()].PSS)
	})
}

func TestDropsOfUDPSockets(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		kernelAddress(netip.MustParseAddrPort("127.0.0.1:53")): "53",
		kernelAddress(netip.MustParseAddrPort("[::1]:8125")):   "8125",
	}
	all := map[string]uint64{}
	addDrops(all, names, []byte(`   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1234 2 0000000000000000 7
  101: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1235 2 0000000000000000 5
  102: 0100007F:0036 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1236 2 0000000000000000 9
  103: 00000000000000000000000001000000:1FBD 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000  0  0 1237 2 0000000000000000 3
`))
	assert.Equal(t, map[string]uint64{"53": 12, "8125": 3}, all)
	assert.Nil(t, drops(&control.Status{Pid: os.Getpid()}))
}
