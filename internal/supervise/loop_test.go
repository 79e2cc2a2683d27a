package supervise

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const fine = 0

const broken = 3 << 8

func TestSettingsAreReadAtEverySpawn(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.settings.AutoRestart = time.Minute
		w.restart()
		w.sleep(61 * time.Second)
		w.exit(w.worker(1, 0), fine)
		assert.Equal(t, 3, w.generation)
		w.settings.AutoRestart = 0
		w.restart()
		w.sleep(2 * time.Second)
		w.sleep(time.Hour)
		assert.Equal(t, 4, w.generation)
	})
}

func TestIntervalHasALowerBound(t *testing.T) {
	simulate(t, Config{Interval: 1}, nil, func(w *world) {
		w.sleep(MinInterval - 1)
		assert.Empty(t, w.served())
		w.sleep(1)
		assert.Equal(t, []string{"1.0"}, w.served())
	})
}

func TestNothingOfTheOperatingSystemIsImported(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{join .Imports \"\\n\"}}", ".").Output()
	require.NoError(t, err)
	for _, forbidden := range []string{"os/exec", "os/signal", "syscall", "net"} {
		assert.NotContains(t, strings.Fields(string(out)), forbidden)
	}
}
