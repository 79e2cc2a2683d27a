package starter

import (
	"context"
	"os"

	"github.com/lestrrat/go-server-starter/internal/signals"
)

// signals is what each signal asks for: Ctrl-C is all that Windows knows.
func (s *Starter) signals() signals.Table {
	return signals.Table{os.Interrupt: func(ctx context.Context, cause string) {
		s.sup.Stop(ctx, cause, s.config.SignalOnTERM, 0)
	}}
}
