package supervise

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stuck is a Spawner whose spawns return only when they are hurried.
type stuck struct{ hurried chan struct{} }

func (s stuck) Begin(int) error { return nil }

func (s stuck) Spawn(int, int, int) (Process, Settings, error) {
	<-s.hurried
	return nil, Settings{}, errors.New("hurried")
}

func TestAStopHurriesSpawns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := stuck{make(chan struct{})}
		sup := New(Config{Spawner: s, Workers: 2, RetireSignal: retireSignal, AbortSignal: abortSignal, Hurry: func() { close(s.hurried) }})
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- sup.Run(ctx, stopSignal) }()
		synctest.Wait()
		assert.Empty(t, result)
		cancel()
		synctest.Wait()
		require.Len(t, result, 1, "Run returns")
		assert.NoError(t, <-result)
	})
}
