//go:build unix

package runfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// restart runs a client beside the test, once the superdaemon has had HUP.
func (f *fake) restart() <-chan error {
	f.t.Helper()
	answer := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	f.t.Cleanup(cancel)
	go func() { answer <- Restart(ctx, f.pidFile, f.statusFile) }()
	f.says("hangup")
	return answer
}

// pending checks that there is no answer while the client looks at the files a few times.
func pending(t *testing.T, answer <-chan error, why string) {
	t.Helper()
	select {
	case err := <-answer:
		require.Fail(t, "answered too early", "%s: %v", why, err)
	case <-time.After(6 * poll):
	}
}

func answered(t *testing.T, answer <-chan error) error {
	t.Helper()
	select {
	case err := <-answer:
		return err
	case <-time.After(patience):
		require.Fail(t, "no answer")
		return nil
	}
}

func TestRestartIsOverWhenANewerGenerationServesAlone(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.do("status 1:9000100")
	answer := f.restart()
	pending(t, answer, "nothing has changed")
	f.do("status 1:9000100 2:9000200")
	pending(t, answer, "the old one is still there")
	f.do("status 2:9000200")
	assert.NoError(t, answered(t, answer))
}

// After failures, the generation that succeeds is not the one after the last.
func TestRestartTakesAnyNewerGeneration(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.do("status 3:9000300 3:301")
	answer := f.restart()
	f.do("status 7:9000700 7:701")
	assert.NoError(t, answered(t, answer))
}

func TestRestartWithAnOldWorkerThatNeverGoesWaits(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.do("status 1:9000100 2:9000200")
	answer := f.restart()
	f.do("status 2:9000200")
	pending(t, answer, "the one that was newest is alone now")
	f.do("status 2:9000200 3:9000300")
	pending(t, answer, "two serve")
	f.do("status 3:9000300")
	assert.NoError(t, answered(t, answer))
}

func TestRestartHearsOfAFailedAttempt(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.do("status 1:9000100")
	answer := f.restart()
	pending(t, answer, "the attempt is under way")
	f.do("renew")
	assert.EqualError(t, answered(t, answer), fmt.Sprintf(
		"restart failed: the new worker did not stay up; still serving: 1:9000100; the log of start_server (pid:%d) says more", f.pid()))
}

func TestRestartHearsOfAFailureBeforeAnythingServes(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	answer := f.restart()
	pending(t, answer, "there is no status file yet")
	f.do("renew")
	assert.ErrorContains(t, answered(t, answer), "still serving: no worker")
}

func TestRestartHearsOfTheEnd(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(*fake){"released": (*fake).release, "killed": (*fake).kill} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := startFake(t)
			f.do("status 1:9000100")
			answer := f.restart()
			end(f)
			assert.EqualError(t, answered(t, answer), fmt.Sprintf(
				"start_server (pid:%d) has ended instead of restarting; last seen in the status file: 1:9000100", f.pid()))
		})
	}
}

func TestRestartGivesUpWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.do("status 1:9000100 2:9000200") // the client reads it before it asks
	over := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	answer := make(chan error, 1)
	go func() { answer <- Restart(ctx, f.pidFile, f.statusFile) }()
	f.says("hangup")
	pending(t, answer, "two serve")
	cancel(over)
	err := answered(t, answer)
	assert.ErrorIs(t, err, over)
	assert.EqualError(t, err, fmt.Sprintf("enough, and no newer generation is serving alone yet; start_server (pid:%d) goes on; last seen in its status file: 1:9000100 2:9000200", f.pid()))
}

func TestClientsSayWhenThereIsNobody(t *testing.T) {
	t.Parallel()
	gone := startFake(t)
	gone.do("status 1:9000100")
	gone.kill()
	none := filepath.Join(t.TempDir(), "pid")
	for path, want := range map[string]string{
		none:         fmt.Sprintf("pid file %q does not exist: no start_server is running with it", none),
		gone.pidFile: fmt.Sprintf("pid file %q is stale: process %d, which it names, is gone", gone.pidFile, gone.pid()),
	} {
		assert.EqualError(t, Restart(t.Context(), path, gone.statusFile), want)
		assert.EqualError(t, Stop(t.Context(), path, func(int) { t.Error("nothing is stopped") }), want)
	}
}

func TestRestartWithABadStatusFileSignalsNobody(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	assert.ErrorContains(t, Restart(t.Context(), f.pidFile, f.pidFile), "which is not GENERATION:PID")
	f.do("renew") // its answer is the next thing it says: there was no signal
}

func TestStopWaitsUntilThePidFileIsLetGo(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(*fake){"released": (*fake).release, "killed": (*fake).kill} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := startFake(t)
			answer, told := make(chan error, 1), make(chan int, 1)
			go func() { answer <- Stop(t.Context(), f.pidFile, func(pid int) { told <- pid }) }()
			f.says("terminated")
			assert.Equal(t, f.pid(), <-told)
			pending(t, answer, "it is still there")
			end(f)
			assert.NoError(t, answered(t, answer))
		})
	}
}

// That the pid file cannot be looked at does not say that nobody has it.
func TestClientsWaitWhileThePidFileCannotBeLookedAt(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.do("status 1:9000100")
	restarted := f.restart()
	stopped := make(chan error, 1)
	go func() { stopped <- Stop(t.Context(), f.pidFile, func(int) {}) }()
	f.says("terminated")
	aside, loop := f.pidFile+".aside", f.pidFile+".loop"
	require.NoError(t, os.Link(f.pidFile, aside))
	require.NoError(t, os.Symlink(f.pidFile, loop))
	require.NoError(t, os.Rename(loop, f.pidFile))
	pending(t, stopped, "it is still there")
	pending(t, restarted, "it is still there")
	require.NoError(t, os.Rename(aside, f.pidFile))
	f.release()
	assert.NoError(t, answered(t, stopped))
	assert.ErrorContains(t, answered(t, restarted), "has ended instead of restarting")

	gone := startFake(t)
	go func() { stopped <- Stop(t.Context(), gone.pidFile, func(int) {}) }()
	gone.says("terminated")
	require.NoError(t, os.Symlink(gone.pidFile, gone.pidFile+".loop"))
	require.NoError(t, os.Rename(gone.pidFile+".loop", gone.pidFile))
	gone.kill()
	assert.NoError(t, answered(t, stopped), "it was killed")
}

func TestStopGivesUpWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	over := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	answer := make(chan error, 1)
	go func() { answer <- Stop(ctx, f.pidFile, func(int) {}) }()
	f.says("terminated")
	cancel(over)
	err := answered(t, answer)
	assert.ErrorIs(t, err, over)
	assert.EqualError(t, err, fmt.Sprintf("start_server (pid:%d) still holds pid file %q: enough", f.pid(), f.pidFile))
}

func TestRestartEndsWithAStatusFileThatIsNone(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.do("status 1:9000100")
	answer := f.restart()
	require.NoError(t, os.WriteFile(f.statusFile, []byte("junk\n"), 0o644))
	assert.ErrorContains(t, answered(t, answer), `holds the line "junk", which is not GENERATION:PID`)
}

// The status file of a superdaemon that ends is empty at the end: the error names the workers
// that served last.
func TestRestartThatEndsTellsWhoServedLast(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.do("status 1:9000100")
	answer := f.restart()
	f.do("status 1:9000200")
	pending(t, answer, "it is no newer generation")
	f.do("status")
	pending(t, answer, "it is still there")
	f.release()
	assert.EqualError(t, answered(t, answer), fmt.Sprintf(
		"start_server (pid:%d) has ended instead of restarting; last seen in the status file: 1:9000200", f.pid()))
}

// The pid may be another process's when the signal is to be sent.
func TestWhoHasEndedIsNotSignalled(t *testing.T) {
	t.Parallel()
	f, other := startFake(t), startFake(t)
	err := send(f.pidFile, other.pid(), syscall.SIGTERM)
	assert.EqualError(t, err, fmt.Sprintf("start_server (pid:%d) has ended: pid file %q is held by process %d now", other.pid(), f.pidFile, f.pid()))
	f.kill()
	err = send(f.pidFile, f.pid(), syscall.SIGTERM)
	assert.EqualError(t, err, fmt.Sprintf("start_server (pid:%d) has ended: pid file %q is stale: process %[1]d, which it names, is gone", f.pid(), f.pidFile))
	other.do("status 1:2") // it says nothing of a signal
	other.release()
}
