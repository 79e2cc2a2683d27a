//go:build !linux

package report

import "errors"

func sendDescriptor(string, int) error { return errors.ErrUnsupported }
