package handover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// If an image is not executed all rooms go on, the last one first.
func TestRoomsGoOnWhenOneCannotBeHandedOver(t *testing.T) {
	t.Parallel()
	var did []string
	hangs := errors.New("it hangs")
	room := func(name string, err error) Room {
		return func(h *Handing) (func(), error) {
			did = append(did, name)
			assert.True(t, h.Knows("Unit"))
			return func() { did = append(did, name+" again") }, err
		}
	}
	c := &Candidate{state: &State{}, knows: []string{"Unit"}}
	none := func(h *Handing) (func(), error) { h.Unit = 3; return nil, nil }
	rooms := []Room{room("first", nil), none, room("second", hangs), room("third", nil)}
	assert.Equal(t, hangs, c.HandOver(rooms, nil))
	assert.Equal(t, []string{"first", "second", "second again", "first again"}, did)
	assert.Equal(t, 3, c.state.Unit)
}

// The supervisor stands still meanwhile, and hears of no stop.
func TestRoomThatHangsIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, goesOn := make(chan struct{}), []string(nil)
		again := func(name string) func() { return func() { goesOn = append(goesOn, name) } }
		rooms := []Room{
			func(*Handing) (func(), error) { return again("before"), nil },
			func(*Handing) (func(), error) { <-release; return again("late"), nil },
		}
		c, start := &Candidate{state: &State{}}, time.Now()
		assert.EqualError(t, c.HandOver(rooms, nil), "not handed over within 10s: a file system hangs, or a command that is being started")
		assert.Equal(t, roomTime, time.Since(start))
		assert.Equal(t, []string{"before"}, goesOn)
		close(release)
		synctest.Wait()
		assert.Equal(t, []string{"before", "late"}, goesOn)
	})
}

// A field that an image does not know ends the handover before anything is executed.
func TestRoomsGoOnWhenTheImageDoesNotKnowWhatTheyHave(t *testing.T) {
	t.Parallel()
	goesOn := false
	c := &Candidate{state: &State{To: Image{Executable: "new"}}, knows: []string{"To", "To.Executable", "Guard", "GuardProcess", "GuardProcess.Pid", "Ignored"}}
	err := c.HandOver([]Room{func(h *Handing) (func(), error) {
		h.children = append(h.children, func() { h.Commands = &report.HeldCommands{Dropped: 1} })
		return func() { goesOn = true }, nil
	}}, nil)
	assert.EqualError(t, err, "new cannot go on now: it does not know Commands, which is in the state")
	assert.True(t, goesOn)
}

func TestWhatOnlyThisImageHadIsUndoneForTheLastOne(t *testing.T) {
	t.Parallel()
	why, fault := errors.New("the port is in use"), errors.New("it is gone")
	var undone []int
	images := &Images{Last: &Inherited{State: &State{}}}
	images.Made(func() error { undone = append(undone, 1); return fault })
	images.Made(func() error { undone = append(undone, 2); return nil })
	assert.EqualError(t, images.Back(why, nil), "the port is in use\nit is gone")
	assert.Equal(t, []int{2, 1}, undone)

	first := &Images{}
	first.Made(func() error { t.Error("there is nothing to go back to"); return nil })
	assert.EqualError(t, first.Back(why, nil), "the port is in use")
}

// holding is a pid file as the last image hands it over.
func holding(t *testing.T, path string) *File {
	t.Helper()
	pid, err := runfile.Hold(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = pid.Release() })
	f := (&Images{pid: pid}).Pid()
	f.FD, err = fd.Dup(f.FD) // the image that takes it over closes it
	require.NoError(t, err)
	return f
}

func TestFilesOfTheLastImageAreLetGo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pid, status string // of this image
		stay        []string
	}{
		"the same":   {"pid", "status", []string{"pid", "status"}},
		"others":     {"other", "other status", []string{"other"}},
		"none":       {"", "", nil},
		"one of two": {"pid", "", []string{"pid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			in := func(name string) string {
				if name == "" {
					return ""
				}
				return filepath.Join(dir, name)
			}
			state := &State{StatusFile: in("status"), PidFile: holding(t, in("pid"))}
			require.NoError(t, os.WriteFile(state.StatusFile, nil, 0o644))
			images := &Images{Last: &Inherited{State: state}}
			if c.pid != "" {
				pid, err := images.HoldPid(in(c.pid))
				require.NoError(t, err)
				t.Cleanup(func() { _ = pid.Release() })
				handed := images.Pid()
				assert.Equal(t, in(c.pid), handed.Path)
				assert.Equal(t, c.pid == "pid", handed.FD == state.PidFile.FD, "which has the lock")
			} else {
				assert.Nil(t, images.Pid())
			}
			assert.FileExists(t, in("pid"), "it is not known yet whether this image can go on")
			images.LetGo(Paths{Status: in(c.status)})
			files, err := os.ReadDir(dir)
			require.NoError(t, err)
			var stay []string
			for _, f := range files {
				stay = append(stay, f.Name())
			}
			assert.Equal(t, c.stay, stay)
		})
	}
}

// An image that goes on again has the same start time and count as before.
func TestImageThatGoesOnAgainIsTheOneThatItWas(t *testing.T) {
	t.Parallel()
	var all []int // so that no signal is heeded here
	for _, sig := range ignored {
		all = append(all, int(sig))
	}
	for why, upgrades := range map[string]int{"": 4, "the port is in use": 3} {
		began := time.Unix(1000, 0)
		images := &Images{Since: began.Add(1), Last: &Inherited{&State{Ignored: all, Output: &output.Held{}, Upgrades: 4, From: Image{Since: began}}, why}}
		images.Adopt(output.New(os.Stderr, "a test"))
		assert.Equal(t, upgrades, images.Upgrades, why)
		assert.Equal(t, why != "", images.Since.Equal(began), fmt.Sprintf("%q", why))
	}
}

// Files that are handed over are not tried: the last image has them. A try leaves nothing behind.
func TestFilesOfAnImageAreTried(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.Mkdir(in("full"), 0o755))
	state := &State{StatusFile: in("full"), Control: &control.Held{Path: in("full")}, PidFile: holding(t, in("held"))}
	for name, c := range map[string]struct {
		paths Paths
		fault string
	}{
		"none":                     {Paths{}, ""},
		"those handed over":        {Paths{in("held"), in("full"), in("full")}, ""},
		"new ones":                 {Paths{in("pid"), in("status"), in("ctl")}, ""},
		"written another way":      {Paths{Pid: in("no/../held"), Status: in("no/../full")}, ""},
		"a pid file elsewhere":     {Paths{Pid: in("no/pid")}, in("no/pid")},
		"a status file nowhere":    {Paths{Status: in("no/status")}, "status file: "},
		"a control socket nowhere": {Paths{Control: in("no/ctl")}, in("no")},
	} {
		if err := state.Try(c.paths); c.fault == "" {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorContains(t, err, c.fault, name)
		}
	}
	first := &State{Control: &control.Held{}}
	assert.Error(t, first.Try(Paths{Pid: in("held")}), "somebody else has it")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 2)
}
