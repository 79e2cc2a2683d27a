package probe

import (
	"context"
	"errors"
	"fmt"
)

// prober is never made: workers cannot be started on Windows.
type prober struct{}

func (*prober) end() {}

func (c *Checker) ask(context.Context, *Probe, Target) error { return c.Check() }

// Check says that there is nothing to ask.
func (*Checker) Check() error {
	return fmt.Errorf("probes: %w on Windows", errors.ErrUnsupported)
}
