package report

import "github.com/lestrrat/go-server-starter/internal/supervise"

// Gone calls a function, from another goroutine, when workers serve and none of them is of
// the generations up to a number.
type Gone struct {
	generation int
	do         func()
}

// After sets the number and the function. It has to be called before the supervisor runs.
func (g *Gone) After(generation int, do func()) { g.generation, g.do = generation, do }

// Hear looks at what serves.
func (g *Gone) Hear(e supervise.Event) {
	serving, is := e.(supervise.Serving)
	if !is || g.do == nil || len(serving.Workers) == 0 {
		return
	}
	for _, w := range serving.Workers {
		if w.Generation <= g.generation {
			return
		}
	}
	go g.do()
	g.do = nil
}
