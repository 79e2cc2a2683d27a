//go:build !linux

package collect

import "github.com/lestrrat/go-server-starter/internal/control"

func drops(*control.Status) map[string]uint64 { return nil }
