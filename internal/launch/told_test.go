package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatAWorkerIsTold(t *testing.T) {
	t.Parallel()
	master := fmt.Sprintf("EINHORN_MASTER_PID=%d", os.Getpid())
	always := Environ{"SERVER_STARTER_PORT=8080=3;/run/a.sock=4", "SERVER_STARTER_GENERATION=7", "SERVER_STARTER_LABELS=web=3"}
	for name, row := range map[string]struct {
		given *Spawner
		then  []string // in addition to what it is always told
	}{
		"nothing else":                  {&Spawner{}, nil},
		"which of several it is":        {&Spawner{Program: Program{Numbered: true}}, []string{"SERVER_STARTER_WORKER=2", "EINHORN_CHILD_INDEX=2"}},
		"where to say that it is ready": {&Spawner{Notify: "@notify"}, []string{"NOTIFY_SOCKET=@notify"}},
		"the same, and to einhorn":      {&Spawner{Notify: "@notify", Control: "/run/ctl"}, []string{"NOTIFY_SOCKET=@notify", master, "EINHORN_SOCK_PATH=/run/ctl"}},
		"to say that it is alive": {&Spawner{Notify: "@notify", Watchdog: 1500 * time.Millisecond, Control: "/run/ctl"}, []string{
			"NOTIFY_SOCKET=@notify", "WATCHDOG_USEC=1500000", master, "EINHORN_SOCK_PATH=/run/ctl"}},
		"nowhere to say that it is alive": {&Spawner{Watchdog: time.Second}, nil},
		"no control socket":               {&Spawner{Control: "/run/ctl"}, nil},
		"by conventions": {&Spawner{Program: Program{Exports: exports(t, "systemd,puma")}}, []string{
			"LISTEN_FDS=2", "LISTEN_FDNAMES=web:unknown", "PUMA_INHERIT_0=3:tcp://0.0.0.0:8080", "PUMA_INHERIT_1=4:unix:///run/a.sock"}},
		"all that einhorn tells, once": {&Spawner{Program: Program{Exports: exports(t, "einhorn"), Numbered: true}, Notify: "@notify", Control: "/run/ctl"}, []string{
			"EINHORN_FD_COUNT=2", "EINHORN_FDS=3 4", "EINHORN_FD_0=3", "EINHORN_FD_FAMILY_0=AF_INET", "EINHORN_FD_1=4", "EINHORN_FD_FAMILY_1=AF_UNIX",
			"SERVER_STARTER_WORKER=2", "EINHORN_CHILD_INDEX=2", "NOTIFY_SOCKET=@notify", master, "EINHORN_SOCK_PATH=/run/ctl"}},
	} {
		s := row.given
		s.Sockets = named()
		assert.Equal(t, append(slices.Clip(always), row.then...), s.told(Names(s.Sockets.Sockets), 7, 2), name)
	}
}

func TestAWorkerWithoutSocketsIsToldSo(t *testing.T) {
	t.Parallel()
	s := Spawner{Sockets: &socket.Set{}}
	assert.Equal(t, Environ{"SERVER_STARTER_PORT=", "SERVER_STARTER_GENERATION=1"}, s.told(nil, 1, 0))
}

func TestArgumentsOfAWorker(t *testing.T) {
	t.Parallel()
	given := []string{"{fd:0}", "--fd={fd:web}", "{port:0}", "{fd:1}"}
	sockets := Names(named().Sockets)
	for name, row := range map[string]struct {
		program Program
		then    []string
	}{
		"as they are":                            {Program{Command: given}, given},
		"expanded, but for the program":          {Program{Command: given, Expand: true}, []string{"{fd:0}", "--fd=3", "8080", "4"}},
		"none":                                   {Program{Command: given[:1], Expand: true}, given[:1]},
		"and no program: that is told elsewhere": {Program{Expand: true}, nil},
	} {
		args, err := row.program.args(sockets)
		assert.NoError(t, err, name)
		assert.Equal(t, row.then, args, name)
	}
	_, err := (&Program{Command: []string{"app", "{fd:9}"}, Expand: true}).args(sockets)
	assert.EqualError(t, err, `argument "{fd:9}": {fd:9} names no socket; there are 0 (web), 1 (/run/a.sock)`)
}

func TestVariableOfAWorkersOwnPid(t *testing.T) {
	t.Parallel()
	systemd := exports(t, "puma,systemd")
	for _, row := range []struct {
		program Program
		then    []string
	}{
		{Program{}, nil},
		{Program{Exports: systemd}, []string{"LISTEN_PID"}},
		{Program{Exports: append(systemd, fdenv.Export{OwnPID: "ANOTHER"})}, []string{"LISTEN_PID", "ANOTHER"}},
		{Program{Exports: systemd, Start: proc.Command{PidVariables: []string{"MAIN_PID"}}}, []string{"MAIN_PID", "LISTEN_PID"}},
	} {
		c := row.program.start([]string{"app"}, []string{"A=1"}, []int{0, 1, 2})
		assert.Equal(t, row.then, c.PidVariables)
		assert.Equal(t, []string{"app"}, c.Args)
		assert.Equal(t, []string{"A=1"}, c.Env)
		assert.Equal(t, []int{0, 1, 2}, c.Files)
	}
}

func TestProgramsThatCannotBe(t *testing.T) {
	t.Parallel()
	sockets := named().Sockets
	assert.NoError(t, (&Program{Command: []string{"app", "{fd:9}"}}).Check(sockets))
	sockets[1].FD = 7
	p := Program{
		Command: []string{"app", "{fd:9}"}, Expand: true, Exports: exports(t, "systemd"),
		Start: proc.Command{PidVariables: []string{"A=B"}},
	}
	assert.EqualError(t, p.Check(sockets), `variable "A=B": a name holds no = and no NUL
export "systemd": the sockets must be at descriptors from 3 on, in the order given, and "/run/a.sock" is at 7: do not pin it there
argument "{fd:9}": {fd:9} names no socket; there are 0 (web), 1 (/run/a.sock)`)
}

func TestProgramIsFoundInThePathOfWorkers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app"), nil, 0o755))
	p := Program{Command: []string{"app"}}
	assert.NoError(t, p.Find(Environ{"PATH=" + dir}))
	assert.EqualError(t, p.Find(Environ{"PATH=/nowhere"}), `program "app": not found in PATH=/nowhere`)
}

func TestWarningOfPathsThatServersRemove(t *testing.T) {
	t.Parallel()
	for names, then := range map[string]string{
		"puma,php-fpm": "php-fpm removes /run/a.sock when it leaves, and then new workers cannot be reached: keep its user from writing to the directory, or use a port\n",
		"systemd,puma": "",
	} {
		out := newLog()
		s := &Spawner{Program: Program{Exports: exports(t, names)}, Sockets: named(), Out: out.Output}
		s.Warn()
		assert.Equal(t, then, out.written())
	}
}

func TestAGenerationsLogBeginsWithIt(t *testing.T) {
	t.Parallel()
	out := newLog()
	require.NoError(t, out.Open(filepath.Join(t.TempDir(), "log"), output.Config{}))
	defer out.Close()
	s := &Spawner{Out: out.Output}
	out.Now("of generation 1")
	require.NoError(t, s.Begin(2))
	out.Now("of generation 2")
	out.Keep(2)
	assert.Equal(t, []string{"of generation 2"}, out.Tail(2))
}

func TestSystemThatCannotSteerIsToldOfOnce(t *testing.T) {
	t.Parallel()
	out := newLog()
	s := &Spawner{Out: out.Output}
	s.steered(nil)
	assert.Empty(t, out.written())
	for range 3 {
		s.steered(fmt.Errorf("port 8080: %w", errors.ErrUnsupported))
	}
	assert.Equal(t, "port 8080: unsupported operation: connections that wait for a worker in excess wait until there are more workers again\n", out.written())
	for range 2 {
		s.steered(errors.New("2 connections are left"))
	}
	assert.Contains(t, out.written(), "again\n2 connections are left\n2 connections are left\n", "what has failed is told each time")
}

func TestEnvironmentThatCannotBeHad(t *testing.T) {
	t.Parallel()
	missing := errors.New("no such envdir")
	s := &Spawner{Env: func() (Environ, supervise.Settings, error) {
		return nil, supervise.Settings{AutoRestart: 1}, missing
	}}
	p, settings, err := s.Spawn(1, 0, 0)
	noProcess(t, p)
	assert.Zero(t, settings)
	assert.ErrorIs(t, err, missing)
}

func TestArgumentsThatCannotBe(t *testing.T) {
	t.Parallel()
	program, env := worker(t, "show", "{fd:9}")
	program.Expand = true
	p, _, err := (&Spawner{Program: program, Env: env, Sockets: named()}).Spawn(1, 0, 0)
	noProcess(t, p)
	assert.ErrorContains(t, err, "names no socket")
}
