package signals

import (
	"context"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// Any worker of our user, and with that any hole in one, can send us signals without end.
// Each costs a line of the log and work in the loop.
const (
	signalsAtOnce = 20          // of a kind that are acted on within floodTime
	floodTime     = time.Second // then the others count as one
)

// flood counts the signals of one kind.
type flood struct {
	began   time.Time // of the time in which they are counted
	count   int
	skipped int // not acted on yet; the last one is, when the time is over
}

// add tells whether a signal that has come now is to be acted on.
func (f *flood) add(now time.Time) bool {
	if f.skipped == 0 && now.Sub(f.began) >= floodTime {
		f.began, f.count = now, 0
	}
	f.count++
	if f.count > signalsAtOnce {
		f.skipped++
		return false
	}
	return true
}

// act acts on signals until the channel is closed: at once, or if more of a kind come
// than can be meant, once for all of them when floodTime is over. None is the last and not
// acted on.
func (t Table) act(ctx context.Context, caught <-chan os.Signal, log func(format string, args ...any)) {
	floods := map[os.Signal]*flood{}
	for sig := range t {
		floods[sig] = &flood{}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case sig, open := <-caught:
			if !open {
				return
			}
			now := time.Now()
			switch f := floods[sig]; {
			case f.add(now):
				t[sig](ctx, "received "+text.SignalName(sig))
			case f.skipped == 1:
				timer.Reset(f.began.Add(floodTime).Sub(now))
			}
		case now := <-timer.C:
			for sig, f := range floods {
				switch {
				case f.skipped == 0:
				case now.Sub(f.began) < floodTime:
					timer.Reset(f.began.Add(floodTime).Sub(now))
				default:
					name := text.SignalName(sig)
					if f.skipped > 1 {
						log("received %s %d times more within a second: taken as one", name, f.skipped)
					}
					*f = flood{began: now, count: 1}
					t[sig](ctx, "received "+name)
				}
			}
		}
	}
}
