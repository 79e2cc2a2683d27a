package report

import (
	"sync"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// First calls a function once, from another goroutine, at the first event of a kind.
type First struct {
	Is func(supervise.Event) bool
	Do func()

	once sync.Once
}

// IsStart tells that a worker has been started.
func IsStart(e supervise.Event) bool { _, is := e.(supervise.Started); return is }

// IsServing tells that there are workers that serve.
func IsServing(e supervise.Event) bool {
	serving, is := e.(supervise.Serving)
	return is && len(serving.Workers) > 0
}

// Hear calls the function.
func (f *First) Hear(e supervise.Event) {
	if f.Is(e) {
		f.once.Do(func() { go f.Do() })
	}
}
