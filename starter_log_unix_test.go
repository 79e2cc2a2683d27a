//go:build unix

package starter_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	starter "github.com/lestrrat/go-server-starter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// blockStatus replaces the status file by a directory that is not empty: even root cannot
// remove that like a file.
func blockStatus(t *testing.T, path string) {
	t.Helper()
	require.Eventually(t, func() bool {
		info, err := os.Lstat(path)
		return err == nil && info.Mode().IsRegular() // or it is not to be removed at the end
	}, patience, 5*time.Millisecond, "there is a status file")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.MkdirAll(filepath.Join(path, "full"), 0o755))
}

func TestStatusFileThatCannotBeRemovedIsToldOfInTheLog(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]string{"none": "", "file": "%s/log", "command": "| exec cat >>%s/log"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t, func(c *starter.Config) {
				c.StatusFile = filepath.Join(dirOf(c), "status")
				c.LogFile = strings.ReplaceAll(spec, "%s", dirOf(c))
			})
			status := filepath.Join(d.dir, "status")
			blockStatus(t, status)
			require.NoError(t, d.stop())
			log := d.log.String()
			if spec != "" {
				text, err := os.ReadFile(filepath.Join(d.dir, "log"))
				require.NoError(t, err)
				log = string(text)
			}
			assert.Contains(t, log, fmt.Sprintf("exiting\nremove %s: something else is there now, and is left alone\n", status))
		})
	}
}

// Ctrl-C in a terminal must not end the log command before the workers.
func TestLogCommandIsInAProcessGroupOfItsOwn(t *testing.T) {
	t.Parallel()
	d := start(t, func(c *starter.Config) {
		c.LogFile = "| echo $$ >" + dirOf(c) + "/t; mv " + dirOf(c) + "/t " + dirOf(c) + "/logger; exec cat >/dev/null"
	})
	var pid int
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(filepath.Join(d.dir, "logger"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0
	}, patience, 5*time.Millisecond, "the command has started")
	group, err := syscall.Getpgid(pid)
	require.NoError(t, err)
	assert.Equal(t, pid, group)
	require.NoError(t, d.stop())
}
