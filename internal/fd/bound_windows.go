package fd

// Bound is a unix socket's file; there are none.
type Bound struct{}

// Lost is false.
func (*Bound) Lost() bool { return false }
