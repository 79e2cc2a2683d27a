package starter

import (
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// MinInterval is the shortest Interval there is: 100 ms.
const MinInterval = supervise.MinInterval

// MaxWorkers is the greatest number of workers there may be: 10000.
const MaxWorkers = supervise.MaxWorkers

// Proof is how a worker proves itself: [Lived], [Notified] or [Probed]. The zero value is Lived, for
// the Interval of the Config.
type Proof struct{ how supervise.Proof }

// Lived is the proof of a worker that is still there after d, which is at least
// MinInterval.
func Lived(d time.Duration) Proof { return Proof{supervise.Lived(d)} }

// Notified is the proof of a worker that says that it is ready. One that has not
// said so within d has failed.
func Notified(d time.Duration) Proof { return Proof{supervise.Notified(d)} }

// Probed is the proof of a worker that has passed all Probes of the Config within d, and has
// lived for its Interval.
func Probed(d time.Duration) Proof { return Proof{supervise.Probed(d)} }

// Replace is how a new generation replaces the live one: [AtOnce], which is the zero value,
// [Beside] or [Rolling].
type Replace struct{ how supervise.Replace }

var (
	// AtOnce tells the old workers to go when all the new ones are proven.
	AtOnce = Replace{supervise.AtOnce}
	// Beside tells no old worker to go: they stay until they end by themselves, or
	// everything is stopped.
	Beside = Replace{supervise.Beside}
)

// Rolling replaces the workers slot by slot: each new one takes over as soon as
// it is proven. There are at most surge processes, at least 1, beyond Workers. An
// attempt that fails in the middle leaves those that are replaced, and the others,
// serving.
func Rolling(surge int) Replace { return Replace{supervise.Rolling(surge)} }

// CanaryStep is a step in which a new generation gets a part of the new connections.
type CanaryStep struct {
	Percent float64 // of all new connections: more than 0, less than 100, to a hundredth
	For     time.Duration
}

// LogFormat is what lines of the log look like.
type LogFormat string

// The formats. In all but LogPlain wait statuses come with words, as in "status:256 (exit code 1)".
const (
	// LogPlain is Server::Starter's lines. Where Log is the stream to systemd's journal, as
	// JOURNAL_STREAM says, they begin with their level, from <3> to <6>, which the journal takes
	// away again (sd-daemon(3)).
	LogPlain LogFormat = "plain"
	// LogTime is the same after the time, by RFC 3339 with milliseconds and zone.
	LogTime LogFormat = "time"
	// LogJSON is a JSON object a line; docs/logs.md lists its members.
	LogJSON LogFormat = "json"
)
