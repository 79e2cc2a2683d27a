// Package testkit has what the tests of several packages need.
package testkit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Output collects what is written to it, and may be read meanwhile.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String returns what was written since the last Take.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Take returns what was written since the last Take.
func (o *Output) Take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.text.Reset()
	return o.text.String()
}

// Dir makes a directory whose path is short enough for unix sockets; t.TempDir may return a longer
// one. It is removed at the end of the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ss")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// StatusFile writes a status file that lists these workers, after they were started.
func StatusFile(t testing.TB, pids ...int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "status")
	var lines strings.Builder
	for _, pid := range pids {
		fmt.Fprintf(&lines, "1:%d\n", pid)
	}
	require.NoError(t, os.WriteFile(path, []byte(lines.String()), 0o644))
	later := time.Now().Add(time.Minute) // whatever the ticks are
	require.NoError(t, os.Chtimes(path, later, later))
	return path
}
