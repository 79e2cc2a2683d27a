//go:build !linux

package fd

import "errors"

// RefuseRights is for Linux.
func RefuseRights(int) error { return errors.ErrUnsupported }
