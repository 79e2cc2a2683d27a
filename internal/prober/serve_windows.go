// Package prober is start_server_probe, which has nothing to do on Windows.
package prober

import (
	"errors"
	"fmt"
	"os"
)

// Serve says that there are no workers to be asked.
func Serve(*os.File, string) error {
	return fmt.Errorf("probes: %w on Windows", errors.ErrUnsupported)
}
