//go:build !linux

package output

func (h *Held) sink(string, string, Runner, func(pid, status int, err error)) (*sink, error) {
	return nil, nil
}

// Abandon is for Linux only.
func (o *Output) Abandon() error { return nil }
