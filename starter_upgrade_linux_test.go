//go:build linux

package starter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	starter "github.com/lestrrat/go-server-starter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With UpgradeOnUSR1 the signal may come while nothing is bound yet.
func TestUpgradeBeforeRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, err := starter.New(quiet())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("enough"))
	defer cancel()
	assert.EqualError(t, s.Upgrade(ctx, starter.Image{}), "enough")
}
