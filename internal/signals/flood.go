package signals

import (
	"context"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// Any worker of our user, and so anyone who has broken into one, can send us signals without
// end. Each costs a line of the log and work in the loop.
const (
	signalsAtOnce = 20          // how many of a kind are acted on within floodTime
	floodTime     = time.Second // when it is over the others are acted on as one
)

// flood counts the signals of one kind.
type flood struct {
	began   time.Time // when the counting began
	count   int
	skipped int // not acted on yet; when floodTime is over they are acted on as one
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

// act acts on signals until the channel is closed. It acts on a signal at once. If more than
// signalsAtOnce of a kind come, it acts on the rest once, when floodTime is over. So the last
// one is always acted on. When ctx ends it returns the signals that were not acted on.
func (t Table) act(ctx context.Context, caught <-chan os.Signal, log func(format string, args ...any)) (left []os.Signal) {
	floods := map[os.Signal]*flood{}
	for sig := range t {
		floods[sig] = &flood{}
	}
	request := func(sig os.Signal) {
		if t[sig](ctx, cause(sig)); ctx.Err() != nil {
			left = append(left, sig)
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case sig, open := <-caught:
			if !open {
				return left
			}
			now := time.Now()
			switch f := floods[sig]; {
			case f.add(now):
				request(sig)
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
					if f.skipped > 1 {
						log("received %s %d times more within a second: taken as one", text.SignalName(sig), f.skipped)
					}
					*f = flood{began: now, count: 1}
					request(sig)
				}
			}
		}
	}
	for sig, f := range floods {
		if f.skipped > 0 {
			left = append(left, sig)
		}
	}
	return append(left, rest(caught)...)
}

// cause is a signal as the cause of what it asks for.
func cause(sig os.Signal) string { return "received " + text.SignalName(sig) }

// rest are the signals that are in a channel.
func rest(caught <-chan os.Signal) (all []os.Signal) {
	for {
		select {
		case sig, open := <-caught:
			if !open {
				return all
			}
			all = append(all, sig)
		default:
			return all
		}
	}
}
