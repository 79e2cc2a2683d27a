package testkit

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Descriptors returns the open descriptors of this process, each with what it refers to.
func Descriptors(t testing.TB) (list []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // not that of the directory
			list = append(list, e.Name()+" "+target)
		}
	}
	return list
}

// Leave leaves only free descriptors to be opened, until restore is called. The limit is for the
// whole process: no other test may run meanwhile.
func Leave(t testing.TB, free int) (restore func()) {
	t.Helper()
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	scarce := limit
	for scarce.Cur = 3; free >= 0; scarce.Cur++ { // up to the number of the last that is free
		if _, err := unix.FcntlInt(uintptr(scarce.Cur), unix.F_GETFD, 0); err != nil {
			free--
		}
	}
	scarce.Cur--
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &scarce))
	return func() { assert.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }
}
