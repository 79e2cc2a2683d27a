//go:build !linux

package socket

import "errors"

func (s *Socket) adopt(*Held, Options) (done bool, err error) { return false, errors.ErrUnsupported }
