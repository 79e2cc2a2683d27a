package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can become another user, and in CI nothing is skipped")
		t.Skip("only root can become another user")
	}
}

func TestCredentialIsAllThatAProcessHas(t *testing.T) {
	t.Parallel()
	needRoot(t)
	out, _ := output(t, Command{
		Args:       []string{"/bin/cat", "/proc/self/status"},
		Credential: &Credential{UID: 12345, GID: 23456, Groups: []int{23456, 7, 65534}, who: "user 12345"},
	})
	assert.Equal(t, "12345 12345 12345 12345", field(out, "Uid"), "real, effective, saved, file system")
	assert.Equal(t, "23456 23456 23456 23456", field(out, "Gid"))
	assert.Equal(t, "7 23456 65534", field(out, "Groups"))
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		assert.Equal(t, strings.Repeat("0", 16), field(out, set), set)
	}
}

func TestDirectoryIsEnteredAsTheUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	open, err := os.MkdirTemp("/tmp", "proc-test-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(open) })
	require.NoError(t, os.Chmod(open, 0o755))
	shut := filepath.Join(open, "shut")
	require.NoError(t, os.Mkdir(shut, 0o700))
	nobody := &Credential{UID: 65534, GID: 65534, Groups: []int{65534}, who: "user nobody"}

	_, err = Start(Command{Args: []string{"/bin/sh"}, Dir: shut, Credential: nobody})
	assert.EqualError(t, err, "working directory: chdir "+shut+": permission denied for user nobody")

	require.NoError(t, os.WriteFile(filepath.Join(open, "prog"), []byte("#!/bin/sh\necho here $(id -u)\n"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(open, "prog"), 0o755))
	out, _ := output(t, Command{Args: []string{"./prog"}, Dir: open, Credential: nobody, Env: []string{"PATH=/usr/bin:/bin"}})
	assert.Equal(t, "here 65534", out)

	hidden := filepath.Join(shut, "prog")
	require.NoError(t, os.WriteFile(hidden, []byte("#!/bin/sh\necho hidden\n"), 0o755))
	_, err = Start(Command{Args: []string{hidden}, Credential: nobody})
	assert.EqualError(t, err, `program "`+hidden+`": permission denied for user nobody`)
	out, _ = output(t, Command{Args: []string{"prog"}, Credential: nobody, Env: []string{"PATH=" + shut + ":" + open + ":/usr/bin:/bin"}})
	assert.Equal(t, "here 65534", out, "what the user may not execute is looked for further on")
}

func TestUserThatDiesWithTheParentIsToldToo(t *testing.T) {
	t.Parallel()
	needRoot(t)
	out, _ := output(t, Command{
		Args:          []string{"/usr/bin/python3", "-c", "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"},
		Credential:    &Credential{UID: 65534, GID: 65534, who: "user nobody"},
		DieWithParent: true,
	})
	if out == "" {
		require.Empty(t, os.Getenv("CI"), "no python3 to ask prctl(2) with, and in CI nothing is skipped")
		t.Skip("no python3 to ask prctl(2) with")
	}
	assert.Equal(t, strconv.Itoa(int(syscall.SIGTERM)), out)
}

// switchUser says what becomes of a command for user nobody, for its own user in other groups,
// and for its own user.
func switchUser() {
	nobody := &Credential{UID: 65534, GID: 65534, Groups: []int{65534}, who: "user nobody"}
	groups, _ := syscall.Getgroups()
	self := &Credential{UID: os.Getuid(), GID: os.Getgid(), Groups: groups, who: "user myself"}
	stranger := &Credential{UID: os.Getuid(), GID: os.Getgid(), Groups: []int{0, 1, 2}, who: "user myself"}
	for _, c := range []*Credential{nobody, stranger, self} {
		p, err := Start(Command{Args: []string{"/bin/sh", "-c", "id -u; grep Cap... /proc/$$/status | grep -v Bnd"},
			Env: []string{"PATH=/usr/bin:/bin"}, Files: []int{-1, 1, 2}, Credential: c})
		if err != nil {
			fmt.Println(err)
			continue
		}
		p.Wait()
	}
}

func TestWithoutRootThereIsNoSwitching(t *testing.T) {
	t.Parallel()
	needRoot(t)
	c := runnable(t, asRole(t, "switch"), 0)
	c.Credential = &Credential{UID: 12345, GID: 12345, Groups: []int{12345}, who: "user 12345"}
	out, _ := output(t, c)
	assert.Equal(t, "cannot switch to user nobody: that needs root\n"+
		"cannot switch to the groups of user myself: that needs root\n"+
		"12345", strings.Split(out, "\nCap")[0])
}

// Ambient capabilities, as a service manager gives them, are enough to switch, and are dropped
// by that.
func TestCapabilitiesToSwitchAreNotHandedOn(t *testing.T) {
	t.Parallel()
	needRoot(t)
	with := func(capabilities string) Command {
		c := runnable(t, asRole(t, "switch"), 0)
		c.Args = append([]string{"setpriv", "--reuid=12345", "--regid=12345", "--clear-groups",
			"--inh-caps=" + capabilities, "--ambient-caps=" + capabilities}, c.Args...)
		return c
	}
	c := with("+setuid,+setgid")
	if c.Check() != nil {
		require.Empty(t, os.Getenv("CI"), "no setpriv(1) here, and in CI nothing is skipped")
		t.Skip("no setpriv(1) here")
	}
	out, _ := output(t, c)
	assert.Contains(t, out, "cannot switch to user nobody: without CAP_KILL we could not signal it\n")
	out, _ = output(t, with("+setuid,+setgid,+kill"))
	assert.NotContains(t, out, "cannot")
	assert.True(t, strings.HasPrefix(out, "65534\n"), out)
	first, _, _ := strings.Cut(out, "12345\n")
	for _, set := range []string{"CapPrm", "CapEff", "CapAmb"} {
		assert.Equal(t, strings.Repeat("0", 16), field(first, set), set)
	}
}

// A user may run a program that has more rights than that user. The program must not execute
// another one for the user in this way.
func TestPrivilegedProgramTakesNoInstructions(t *testing.T) {
	t.Parallel()
	needRoot(t)
	c := runnable(t, asRole(t, "starter"), os.ModeSetuid)
	c.Credential = &Credential{UID: 12345, GID: 12345, Groups: []int{12345}, who: "user 12345"}
	out, _ := output(t, c)
	assert.Contains(t, out, "Uid:\t12345\t0\t0\t0", "a direct start is as it always was")
	assert.Contains(t, out, "do not work with a set-user-ID bit or file capabilities")
}

// runnable copies the command's program to where any user can execute it.
func runnable(t *testing.T, c Command, mode os.FileMode) Command {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "proc-test-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	program, err := os.ReadFile(c.Args[0])
	require.NoError(t, err)
	c.Args = append([]string{filepath.Join(dir, "program")}, c.Args[1:]...)
	// Another process writes it: a child of ours that is forked meanwhile would keep it busy.
	require.NoError(t, os.WriteFile(c.Args[0]+".part", program, 0o755))
	p, err := Start(Command{Args: []string{"cp", c.Args[0] + ".part", c.Args[0]}, Env: []string{"PATH=/usr/bin:/bin"}})
	require.NoError(t, err)
	require.Zero(t, p.Wait())
	require.NoError(t, os.Chmod(c.Args[0], 0o755|mode))
	return c
}
