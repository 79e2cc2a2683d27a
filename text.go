package starter

import "github.com/lestrrat/go-server-starter/internal/text"

// What this package writes and reads by internal/text.
var (
	count      = text.Count
	seconds    = text.Seconds
	signalName = text.SignalName
	printable  = text.Lines
)
