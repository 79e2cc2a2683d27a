package fdenv

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSocketsAreToldInTheirOrder(t *testing.T) {
	t.Parallel()
	env := ServerStarter([]Socket{
		{Name: "18801", FD: 4}, {Name: "127.0.0.1:18802", FD: 0}, {Name: "[::1]:18803", FD: 6}, {Name: "/run/x.sock", FD: 10},
	}, 7)
	assert.Equal(t, []string{
		"SERVER_STARTER_PORT=18801=4;127.0.0.1:18802=0;[::1]:18803=6;/run/x.sock=10",
		"SERVER_STARTER_GENERATION=7",
	}, env)
}

func TestLabelsAreToldOfTheSocketsThatHaveOne(t *testing.T) {
	t.Parallel()
	env := ServerStarter([]Socket{
		{Name: "18801", Label: "web", FD: 4}, {Name: "18802", FD: 5}, {Name: "/run/x.sock", Label: "admin", FD: 10},
	}, 1)
	assert.Contains(t, env, "SERVER_STARTER_LABELS=web=4;admin=10")
	assert.True(t, ForUs("SERVER_STARTER_LABELS"), "those of a superdaemon above are not for workers")
}

func TestWhatAWorkerIsToldOfEinhorn(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"EINHORN_MASTER_PID=77", "EINHORN_SOCK_PATH=/run/ctl"}, EinhornAck(77, "/run/ctl"))
	assert.Equal(t, []string{"SERVER_STARTER_WORKER=2", "EINHORN_CHILD_INDEX=2"}, Slot(2))
	assert.Equal(t, []string{"EINHORN_FDS=3"}, Socketmaster())
}

func TestWithoutSocketsTheVariableIsSetAndEmpty(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"SERVER_STARTER_PORT=", "SERVER_STARTER_GENERATION=1"}, ServerStarter(nil, 1))
}
