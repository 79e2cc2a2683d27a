package supervise

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestReplacesThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		replace Replace
		workers int
		fault   string
	}{
		{AtOnce, 0, ""},
		{AtOnce, 3, ""},
		{Beside, 0, ""},
		{Beside, 1, "workers 1 cannot be combined with old workers that stay"},
		{Rolling(1), 0, "rolling restarts need the number of workers"},
		{Rolling(1), 1, ""},
		{Rolling(0), 1, ""}, // 0 is taken as 1
		{Rolling(2), 2, ""},
		{Rolling(2), 1, "surge 2 is more than the number of workers, 1"},
	} {
		err := row.replace.Check(row.workers)
		if row.fault == "" {
			assert.NoError(t, err, "%+v", row)
			continue
		}
		assert.EqualError(t, err, row.fault)
	}
}

func TestProofsThatCannotBe(t *testing.T) {
	t.Parallel()
	assert.NoError(t, Lived(0).Check(), "it has a lower bound")
	assert.NoError(t, Notified(1).Check())
	assert.EqualError(t, Notified(0).Check(), "ready timeout 0s is too short for any worker")
	assert.EqualError(t, Notified(-time.Second).Check(), "ready timeout -1s is too short for any worker")
}

func TestProofTellsWhetherWorkersHaveToSaySo(t *testing.T) {
	t.Parallel()
	assert.True(t, Notified(time.Second).Notified())
	assert.False(t, Lived(time.Second).Notified())
}
