package handover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The test binary plays the images: its first argument is what it does.
func TestMain(m *testing.M) {
	roles := map[string]func(){
		"could": could, "cannot": cannot, "hangs": func() { time.Sleep(time.Hour) }, "silent": func() {},
		"first": func() { first("next") }, "first-of-one-that-fails": func() { first("fails") }, "first-that-ends": firstThatEnds,
		"next": next, "fails": fails, "old": old, "first-of-an-older-one": firstOfAnOlderOne,
	}
	if len(os.Args) > 1 && os.Args[1] != "" {
		if play := roles[os.Args[1]]; play != nil {
			play()
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// made is a state for an image that plays a role.
func made(role ...string) *State {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &State{
		Format: Format, Name: "made up", Pid: os.Getpid(), From: Image{Executable: self, FD: -1, Args: os.Args, Version: "1"},
		To: Image{Executable: self, Args: append([]string{"made up"}, role...), Version: "2"}, Loop: &supervise.Frozen{Number: 7}, Stop: "TERM",
	}
}

// could rehearses, and says that it could go on.
func could() {
	s, err := Rehearsal("made up")
	if err != nil || s == nil {
		fmt.Println("made up:", err)
		return
	}
	s.StandBy()
}

// old is an image that does not say what it knows, and that knows of no commands.
func old() {
	s, err := Rehearsal("made up")
	if err != nil || s.Commands != nil {
		fmt.Println("made up: it has a field that this version does not know")
		return
	}
	_, _ = unix.Write(1, []byte(said))
	s.wait()
}

// firstOfAnOlderOne hands over more than an image knows.
func firstOfAnOlderOne() {
	if h, err := Claim("made up"); h != nil || err != nil {
		fmt.Println("first again:", err)
		return
	}
	c, err := Rehearse(made("could"), "")
	if err == nil {
		c.state.To.Args = []string{"made up", "fails"}
		err = c.Exec(func() ([]os.Signal, func(), error) {
			more := appendBytes(appendBytes(nil, []byte("Future")), []byte{1})
			end, _ := unix.Seek(c.memory, 0, io.SeekEnd)
			_, err := unix.Pwrite(c.memory, more, end)
			return nil, func() {}, err
		})
	}
	fmt.Println(err)
}

func cannot() {
	if _, err := Rehearsal("another"); err != nil {
		fmt.Printf("made up: %v\nmade up: and it is late\n", err)
	}
}

// first hands over to an image that could go on.
func first(role string) {
	if h, err := Claim("made up"); err != nil || h != nil {
		fmt.Println("first again:", err, h.Why, h.Upgrades)
		h.Settled()
		return
	}
	s := made("could", role)
	s.Upgrades = 3
	c, err := Rehearse(s, "")
	if err == nil {
		os.Setenv("KEPT", strconv.Itoa(os.Getpid()))
		c.state.To.Args = []string{"made up", role}
		err = c.Exec(func() ([]os.Signal, func(), error) { return nil, func() {}, nil })
	}
	fmt.Println(err)
}

func next() {
	if h, _ := Claim("another"); h != nil {
		fmt.Println("claimed by another name")
	}
	h, err := Claim("made up")
	if err != nil {
		fmt.Println(err)
		return
	}
	again, _ := Claim("made up")
	fmt.Println("next:", os.Getenv("KEPT") == strconv.Itoa(os.Getpid()), h.From.Version, h.Upgrades, h.Loop.Number, again == nil, os.Getenv(variable) == "")
	h.Settled()
	fmt.Println(Back(errors.New("too late"), nil))
}

func fails() {
	if h, err := Claim("made up"); err == nil && h.Why != "" {
		fmt.Println(h)
		return
	}
	fmt.Println(Back(errors.New("the port: is taken"), nil))
}

// firstThatEnds is killed when all is written and nothing executed.
func firstThatEnds() {
	worker, err := proc.Start(proc.Command{Path: "/bin/sh", Args: []string{"sh", "-c", `trap 'echo worker told; exit' TERM; echo up; while :; do sleep 0.02; done`}, Files: []int{0, 1, 2}, Env: os.Environ()})
	if err != nil {
		panic(err)
	}
	s := made("could")
	s.StatusFile, s.PidFile = "status", &File{Path: "pid", FD: -1}
	c, err := Rehearse(s, "")
	if err != nil {
		panic(err)
	}
	os.WriteFile("status", nil, 0o600)
	os.WriteFile("pid", fmt.Appendln(nil, os.Getpid()), 0o600)
	release, err := proc.HoldWaits()
	if err != nil {
		panic(err)
	}
	defer release()
	s.Processes = []proc.Handed{worker.Hand()}
	s.Loop.Workers = []supervise.FrozenWorker{{Pid: worker.Pid()}}
	if err := c.write(); err != nil {
		panic(err)
	}
	os.WriteFile("written", nil, 0o600)
	time.Sleep(time.Hour)
}

// plays runs a role, and returns what it has printed.
func plays(t *testing.T, role string) string {
	t.Helper()
	text, err := exec.Command(os.Args[0], role).CombinedOutput()
	require.NoError(t, err, "%s", text)
	return string(text)
}

func TestAnImageThatCouldGoOnStandsByUntilItIsNotNeeded(t *testing.T) {
	t.Parallel()
	c, err := Rehearse(made("could"), "")
	require.NoError(t, err)
	pid := c.process.Pid()
	c.Close()
	assert.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil }, time.Minute, time.Millisecond)
}

func TestWhyAnImageCannotGoOn(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	missing := made("could")
	missing.To.Executable = filepath.Join(t.TempDir(), "x")
	stranger := made("could")
	stranger.Pid = 1
	for _, row := range []struct {
		state *State
		why   string
	}{
		{made("cannot"), "the state that is handed over is one of made up, and this is another\nand it is late"},
		{made("silent"), self + " has ended without saying that it can go on: it is not a superdaemon that can take over"},
		{stranger, "the state that is handed over is another process's"},
		{missing, "new executable: open " + missing.To.Executable + ": no such file or directory"},
	} {
		_, err := Rehearse(row.state, "")
		assert.EqualError(t, err, row.why)
	}
}

func TestAnImageThatHangsIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	_, err := rehearseFor(200*time.Millisecond, made("hangs"), "")
	self, _ := os.Executable()
	assert.EqualError(t, err, self+` has not said within 200ms whether it could go on; it said: ""`)
}

func TestTheStateIsTheNextImages(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "next: true 1 3 7 true true\ntoo late\n", plays(t, "first"))
}

func TestAnImageThatFailsGoesBack(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "first again: <nil> the port: is taken 3\n", plays(t, "first-of-one-that-fails"))
}

// An image can go back even from a state with a field that it does not know.
func TestAnImageThatDoesNotKnowTheStateGoesBack(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `first again: the state that was handed over: it has a field "Future", which this version does not know`+"\n", plays(t, "first-of-an-older-one"))
}

// An image that says what it knows is not executed with fields that it does not know.
func TestAnImageAgreesToAllThatItKnows(t *testing.T) {
	t.Parallel()
	c, err := Rehearse(made("could"), "")
	require.NoError(t, err)
	defer c.Close()
	assert.True(t, c.Knows("Control.Clients"))
	assert.True(t, c.Knows("Loop.Workers.KillAt"))
	assert.False(t, c.Knows("Future"))
	pid := c.process.Pid()
	c.state.Commands = &report.HeldCommands{Dropped: 1}
	assert.NoError(t, c.Agree())
	assert.Equal(t, pid, c.process.Pid(), "it is not asked again")
	c.knows = slices.DeleteFunc(c.knows, func(name string) bool { return name == "Commands.Dropped" })
	assert.EqualError(t, c.Agree(), c.state.To.Executable+" cannot go on now: it does not know Commands.Dropped, which is in the state")
}

// An image that does not say what it knows rehearses again with the final state.
func TestAnOldImageRehearsesAgain(t *testing.T) {
	t.Parallel()
	c, err := Rehearse(made("old"), "")
	require.NoError(t, err)
	defer c.Close()
	assert.False(t, c.Knows("Control.Clients"))
	first := c.process.Pid()
	c.state.StatusFile = "status"
	require.NoError(t, c.Agree())
	assert.NotEqual(t, first, c.process.Pid())
	assert.ErrorIs(t, syscall.Kill(first, 0), syscall.ESRCH, "the one before is waited for")
	assert.Nil(t, c.state.Control)
	second := c.process.Pid()
	require.NoError(t, c.Agree())
	assert.Equal(t, second, c.process.Pid(), "there is nothing new")
	c.state.Commands = &report.HeldCommands{Dropped: 1}
	assert.EqualError(t, c.Agree(), "it has a field that this version does not know")
}

// The signal ends the process before the next image can hear it.
func TestWhatAProcessLeavesBehindThatEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	c := exec.Command(os.Args[0], "first-that-ends")
	c.Dir = t.TempDir()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	require.NoError(t, c.Start())
	written := func() string {
		text, _ := os.ReadFile(out.Name())
		return string(text)
	}
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(c.Dir, name))
		return err == nil
	}
	require.Eventually(t, func() bool { return written() == "up\n" && there("written") }, time.Minute, time.Millisecond)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	assert.Error(t, c.Wait())
	assert.Eventually(t, func() bool { return !there("pid") && !there("status") }, time.Minute, time.Millisecond)
	assert.Equal(t, "up\nworker told\n", written())
}
