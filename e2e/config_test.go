//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serviceFile writes a file of options for the workers of startWorkers in the directory.
func serviceFile(t *testing.T, dir, more string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app.ini"), []byte(`
; a service
interval = 0.2
control = ctl
status-file = status
program = /bin/sh
argument = -c
argument = trap 'exit 0' TERM; echo "up with $*"; while :; do sleep 0.05; done
argument = sh
argument = two words
`+more), 0o644))
}

// All options of a service are in a file: a client finds its options there, and an upgrade reads
// the file again.
func TestServiceFromAFile(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	serviceFile(t, dir, "")
	d := startIn(t, dir, nil, ours, "--config=app.ini")
	d.sees(1, `^up with two words$`)
	d.isLive(1)
	code, printed := command(t, dir, ours, "--restart", "--drained", "--config=app.ini")
	require.Zero(t, code, printed)
	assert.Equal(t, 2, d.status().Generation)

	serviceFile(t, dir, "workers = 2\nkill-timeout = 7\n")
	code, printed = command(t, dir, ours, "--print-config", "--control=ctl")
	require.Zero(t, code, printed)
	assert.NotContains(t, printed, "workers = 2", "it has not read the file again")
	assert.Contains(t, printed, "\nargument = two words\n")

	// First from another directory, by the path of the file; then as the running one was started.
	sub := filepath.Join(dir, "sub")
	require.NoError(t, os.Mkdir(sub, 0o755))
	code, printed = command(t, sub, ours, "--upgrade=../ctl", "--config=../app.ini", "--timeout=60")
	require.Zero(t, code, printed)
	d.sees(1, `^--workers is 2 now, and was not given$`)
	d.sees(1, `^--kill-timeout is 7 now, and was not given$`)
	assert.NotContains(t, d.out.String(), "--config is", "it is what it was")
	code, printed = command(t, dir, ours, "--print-config", "--control=ctl")
	require.Zero(t, code, printed)
	assert.Contains(t, printed, "\nworkers = 2\n")

	serviceFile(t, dir, "workers = 3\nstop-delay = 0\n")
	d.upgraded()
	d.sees(1, `^--workers is 3 now, and was 2$`)

	// A file with a fault changes nothing, and the client is told of the fault.
	serviceFile(t, dir, "workers = many\n")
	code, printed = d.ask("--upgrade")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, `app.ini:11: --workers: "many" is not a number`)
	assert.NotContains(t, d.out.String(), "upgrade 3")
	d.stop()
	d.runs()
}

// An image that goes on again does so with the options that were in force: the file may be that of
// the new image by then.
func TestUpgradeThatGoesBackReadsNoFile(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	serviceFile(t, dir, "workers = 2\n")
	d := startIn(t, dir, nil, ours, "--config=app.ini")
	d.sees(2, `^up with two words$`)
	eventually(t, func() bool { return strings.Count(d.file("status"), "\n") == 2 }, d.out.String)
	script := filepath.Join(dir, "start_server")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"+
		`case "$START_SERVER_HANDOVER" in rehearse:*) exec `+ours+` "$@";; esac`+"\n"+
		"echo nosuch = 1 >>"+dir+"/app.ini\nexec "+ours+` "$@"`+"\n"), 0o755))
	a := d.talk(`{"command":"self-upgrade","executable":"` + script + `"}`)[0]
	assert.Equal(t, false, a["ok"], d.out.String())
	assert.Contains(t, a["error"], "app.ini:12: nosuch: no such option")
	d.sees(1, `could not go on: .*; this is start_server .* again$`)
	code, printed := d.ask("--print-config")
	require.Zero(t, code, printed)
	assert.Contains(t, printed, "\nworkers = 2\n")
	d.signal(syscall.SIGHUP)
	d.sees(4, `^up with two words$`)

	serviceFile(t, dir, "workers = 1\n")
	d.upgraded() // and from then on the file counts
	d.sees(1, `^--workers is 1 now, and was 2$`)
	d.stop()
	d.runs()
}

func TestDaemonFromAFile(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	serviceFile(t, dir, "daemonize = ready\nlog-file = log\npid-file = pid\n")
	code, printed := command(t, dir, ours, "--config=app.ini")
	require.Zero(t, code, printed)
	code, printed = command(t, dir, ours, "--stop", "--config=app.ini", "--timeout=60")
	assert.Zero(t, code, printed)
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(log), "exiting\n"), string(log))
}
