//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The commands that follow may be meant for what the first one was to do.
func TestCtrlCEndsAPipeOfCommands(t *testing.T) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt) // or it ends the test
	defer signal.Stop(caught)
	path, written := filepath.Join(t.TempDir(), "ctl"), &testkit.Output{}
	master, err := starter.New(starter.Config{Command: []string{"/bin/sleep", "600"}, Interval: time.Hour, Control: path, Log: written})
	require.NoError(t, err)
	require.NoError(t, master.Listen())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- master.Run(ctx) }()

	stdin, commands, err := os.Pipe()
	require.NoError(t, err)
	defer stdin.Close()
	_, err = commands.WriteString("upgrade\ndie\n")
	require.NoError(t, err)
	commands.Close()
	code := make(chan int, 1)
	s := &session{path: path, stdout: io.Discard, stderr: io.Discard}
	go func() { code <- s.shell(stdin) }()
	require.Eventually(t, func() bool { return strings.Contains(written.String(), "restart asked for") }, time.Minute, time.Millisecond)
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGINT))
	assert.Equal(t, cmdline.Error, <-code)
	assert.NotContains(t, written.String(), "exiting")
	stop()
	assert.NoError(t, <-ended)
}
