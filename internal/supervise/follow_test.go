package supervise

import (
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhenFollowingTheLastWorkersEndIsTheEnd(t *testing.T) {
	for status, fails := range map[int]bool{fine: false, 3 << 8: true, 9: true} {
		simulate(t, Config{Follow: true, Workers: 2}, nil, func(w *world) {
			w.sleep(time.Second)
			w.exit(w.worker(1, 0), 1<<8)
			w.sleep(time.Minute)
			assert.Equal(t, []string{"1.1"}, w.lives(), "nobody takes its place")
			w.exit(w.worker(1, 1), status)
			require.True(t, w.over())
			err := <-w.result
			w.result <- err
			if !fails {
				assert.NoError(t, err)
				return
			}
			var why *Failure
			require.ErrorAs(t, err, &why)
			assert.Equal(t, status, why.Status)
		})
	}
}

// A signal that is passed on while a generation begins is also for its workers.
func TestSignalPassedOnWhileAGenerationBegins(t *testing.T) {
	simulate(t, Config{Follow: true, Attempts: 1}, func(w *world) { w.slowBegin = 2 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.sup.Pass(w.t.Context(), "test", otherSignal)
		w.sleep(2 * time.Second)
		assert.Equal(t, []os.Signal{otherSignal}, w.worker(1, 0).signals)
	})
}

func TestReinstatedWorkersAreGivenTheWholeDelayAgain(t *testing.T) {
	delay := func(w *world) { w.settings.KillOldDelay = 20 * time.Second }
	simulate(t, Config{Follow: true, Attempts: 1}, delay, func(w *world) {
		w.sleep(2 * time.Second)
		w.restart()
		w.sleep(2 * time.Second)
		w.exit(w.worker(2, 0), broken)
		w.restart()
		w.sleep(100 * time.Millisecond)
		w.exit(w.worker(3, 0), broken)
		w.sleep(30 * time.Second)
		w.restart()
		w.sleep(20 * time.Second)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(2 * time.Second)
		assert.Equal(t, told, w.worker(1, 0).signals)
	})
}

func TestWhenFollowingARestartIsARestart(t *testing.T) {
	simulate(t, Config{Follow: true, Attempts: 1}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(500 * time.Millisecond)
		w.exit(w.worker(2, 0), 1<<8)
		assert.Error(t, answered(reply))
		w.sleep(time.Minute)
		assert.Equal(t, []string{"1.0"}, w.lives(), "it failed, and the old one serves on")
		assert.Empty(t, w.worker(1, 0).signals)
		reply = w.restart()
		w.sleep(time.Second)
		assert.NoError(t, answered(reply))
		assert.Equal(t, told, w.worker(1, 0).signals)
		w.exit(w.worker(3, 0), fine)
		assert.False(t, w.over(), "the old one has not gone yet")
		w.exit(w.worker(1, 0), fine)
		assert.True(t, w.over())
	})
}

func TestOldWorkersThatNobodyTellsToGoStay(t *testing.T) {
	simulate(t, Config{Follow: true, Replace: Beside}, nil, func(w *world) {
		w.sleep(time.Second)
		for range 3 {
			w.restart()
			w.sleep(2 * time.Second)
		}
		assert.Equal(t, []string{"1.0", "2.0", "3.0", "4.0"}, w.lives())
		w.exit(w.worker(4, 0), 1<<8)
		w.exit(w.worker(2, 0), 1<<8)
		w.sleep(time.Minute)
		assert.Equal(t, []string{"1.0", "3.0"}, w.lives())
		w.stop()
		for _, p := range w.alive() {
			assert.Len(t, p.signals, 1)
			w.exit(p, fine)
		}
		assert.True(t, w.over())
	})
}

func (w *world) pass() {
	w.sup.Pass(w.t.Context(), "test", otherSignal)
	synctest.Wait()
}

func (w *world) outcome() error {
	require.True(w.t, w.over())
	err := <-w.result
	w.result <- err
	return err
}

func TestWhenFollowingAStopEndsAsTheLastWorkerDid(t *testing.T) {
	simulate(t, Config{Follow: true, Workers: 2}, nil, func(w *world) {
		w.sleep(time.Minute)
		w.stop()
		w.exit(w.worker(1, 0), fine)
		w.exit(w.worker(1, 1), 7<<8)
		var why *Failure
		require.ErrorAs(t, w.outcome(), &why)
		assert.True(t, why.Last)
		assert.Equal(t, 7, why.ExitCode())
		assert.ErrorContains(t, why, fmt.Sprintf("worker %d of generation 1 was the last, and ended after 1m0s: exit code 7", w.worker(1, 1).id.Pid))
	})
}

func TestSignalThatIsPassedOnEndsNothingByItself(t *testing.T) {
	simulate(t, Config{Follow: true}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.pass()
		w.pass()
		assert.Len(t, w.worker(1, 0).signals, 2, "each time")
		reply := w.restart()
		w.sleep(time.Second)
		assert.NoError(t, answered(reply), "a restart is one still")
		w.pass()
		assert.Len(t, w.worker(1, 0).signals, 4, "also those who were told to go")
		w.exit(w.worker(1, 0), fine)
		w.exit(w.worker(2, 0), 9)
		var why *Failure
		require.ErrorAs(t, w.outcome(), &why)
		assert.Equal(t, 128+9, why.ExitCode())
	})
}

func TestSignalThatIsPassedOnDropsTheRestartThatWaits(t *testing.T) {
	simulate(t, Config{Follow: true, Attempts: 1}, nil, func(w *world) {
		w.sleep(time.Second)
		first := w.restart()
		w.sleep(100 * time.Millisecond)
		second := w.restart()
		w.pass()
		assert.ErrorIs(t, answered(second), ErrStopping)
		w.exit(w.worker(2, 0), fine)
		assert.Error(t, answered(first))
		w.exit(w.worker(1, 0), fine)
		assert.NoError(t, w.outcome())
		assert.Len(t, w.procs, 2)
	})
}

func TestSignalThatIsPassedOnReachesWhoIsBeingStarted(t *testing.T) {
	slow := func(w *world) { w.slowSpawn = 2 * time.Second }
	simulate(t, Config{Follow: true, Attempts: 1}, slow, func(w *world) {
		w.sleep(time.Second)
		w.pass()
		w.sleep(time.Second)
		assert.Equal(t, []os.Signal{otherSignal}, w.worker(1, 0).signals)
	})
}

func TestExitCodeIsThatOfAShell(t *testing.T) {
	for want, why := range map[int]Failure{
		0: {}, 3: {Status: 3 << 8}, 255: {Status: 255 << 8}, 143: {Status: 15}, 139: {Status: 11 | 0x80},
		1: {Err: assert.AnError},
	} {
		assert.Equal(t, want, why.ExitCode())
	}
	assert.Equal(t, 1, (&Failure{Late: true}).ExitCode())
}
