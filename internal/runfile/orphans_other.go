//go:build !linux

package runfile

import (
	"errors"
	"os"
)

// FindOrphans is for Linux only.
func FindOrphans(string) (*Orphans, error) { return &Orphans{}, errors.ErrUnsupported }

func (*Orphan) signal(os.Signal) {}

func (*Orphan) gone() bool { return true }

func (*Orphan) close() {}
