//go:build !linux

package collect

import (
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
)

// cpuTime cannot be had here.
func cpuTime(int) (used time.Duration, ok bool) { return 0, false }

func memory(int) int64 { return 0 }

func drops(*control.Status) map[string]uint64 { return nil }
