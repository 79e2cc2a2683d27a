//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A worker may use the functions of Server::Starter for workers: server_ports, and its guard.
func TestWorkerUsesPerlsLibrary(t *testing.T) {
	t.Parallel()
	needsPerl(t, "Server::Starter")
	dir, port := tempDir(t), freePort(t)
	d := startIn(t, dir, nil, ours, "--interval=0.3", "--port=127.0.0.1:"+port, "--path=app.sock", "--",
		"perl", inTestdata("server_ports.pl"))
	written := func(name string) func() bool {
		return func() bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err == nil
		}
	}
	told := "127.0.0.1:" + port + "=3\napp.sock=4"
	for _, generation := range []string{"1", "2"} {
		eventually(t, written("ports-"+generation), d.out.String)
		assert.Equal(t, told, readFile(t, filepath.Join(dir, "ports-"+generation)))
		if generation == "1" {
			d.signal(syscall.SIGHUP)
		}
	}
	eventually(t, written("guarded-1"), d.out.String)
	d.signal(syscall.SIGTERM)
	assert.Zero(t, d.exit())
	assert.FileExists(t, filepath.Join(dir, "guarded-2"))
}

// The small server that the README gives to try.
func TestSmallServerInPerl(t *testing.T) {
	t.Parallel()
	perl, addr := needs(t, "perl"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, nil, []string{brief}, perl, filepath.Join(source, "examples/hello.pl"))
	d.losesNothing("tcp", addr, 4, 0)
}
