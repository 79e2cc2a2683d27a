package starter

import (
	"context"
	"os"

	"github.com/lestrrat/go-server-starter/internal/signals"
)

// signals is what each signal asks for: Ctrl-C is all that Windows knows.
func (s *Starter) signals(stopping func(cause string)) signals.Table {
	return signals.Table{os.Interrupt: func(ctx context.Context, cause string) {
		stopping(cause)
		s.sup.Stop(ctx, cause, s.config.SignalOnTERM, 0)
	}}
}
