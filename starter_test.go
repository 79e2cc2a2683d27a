package starter_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	starter "github.com/lestrrat/go-server-starter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests here run on every system. Those that start programs are in the files for unix.

// quiet is a Config of a program that does not exist.
func quiet() starter.Config {
	return starter.Config{Command: []string{"no-such-program"}, Log: io.Discard, Env: []string{"PATH="}}
}

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	c := quiet()
	c.Workers, c.Follow = -1, true
	c.Backlog, c.Attempts = -2, -3
	c.Replace, c.Proof = starter.Rolling(2), starter.Notified(0)
	_, err := starter.New(c)
	require.Error(t, err)
	for _, fault := range []string{"workers -1", "backlog -2", "attempts -3", "surge 2", "ready timeout 0s"} {
		assert.ErrorContains(t, err, fault)
	}
	c = quiet()
	c.Workers, c.Follow, c.Replace = 2, true, starter.Beside
	_, err = starter.New(c)
	assert.ErrorContains(t, err, "workers 2 cannot be combined with following a worker")
	assert.ErrorContains(t, err, "workers 2 cannot be combined with old workers that stay")
	c = quiet()
	c.Replace = starter.Rolling(1)
	_, err = starter.New(c)
	assert.EqualError(t, err, "rolling restarts need the number of workers")
}

func TestBeforeListenNothingIsBound(t *testing.T) {
	t.Parallel()
	s, err := starter.New(quiet())
	require.NoError(t, err)
	assert.Nil(t, s.Addrs())
}

func TestRequestsBeforeRunEndWithTheirContext(t *testing.T) {
	t.Parallel()
	s, err := starter.New(quiet())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("enough"))
	defer cancel()
	assert.EqualError(t, s.Restart(ctx), "enough")
	_, err = s.Status(ctx)
	assert.EqualError(t, err, "enough")
}

func TestAfterARunThatCannotBeginRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s, err := starter.New(quiet())
	require.NoError(t, err)
	assert.ErrorContains(t, s.Run(t.Context()), "no-such-program")
	assert.ErrorIs(t, s.Restart(t.Context()), starter.ErrStopping)
	_, err = s.Status(t.Context())
	assert.ErrorIs(t, err, starter.ErrStopping)
	assert.Nil(t, s.Addrs())
}
