package signals

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// Of a flood of signals some are acted on, the last one in any case, and one line a second
// says how many there were. Other signals do not wait for that.
func TestFloodOfSignals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log []string
		acted := map[os.Signal]int{}
		last := time.Time{}
		act := func(sig os.Signal) Request {
			return func(context.Context, string) { acted[sig]++; last = time.Now() }
		}
		caught := make(chan os.Signal)
		done := make(chan struct{})
		go func() {
			defer close(done)
			Table{syscall.SIGHUP: act(syscall.SIGHUP), syscall.SIGTERM: act(syscall.SIGTERM)}.act(t.Context(), caught,
				func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) })
		}()
		began := time.Now()
		for range 30000 { // 10,000 a second
			caught <- syscall.SIGHUP
			time.Sleep(100 * time.Microsecond)
		}
		synctest.Wait()
		before := acted[syscall.SIGTERM]
		caught <- syscall.SIGTERM
		synctest.Wait()
		assert.Equal(t, before+1, acted[syscall.SIGTERM])
		assert.LessOrEqual(t, acted[syscall.SIGHUP], 3*signalsAtOnce+1)
		time.Sleep(floodTime)
		synctest.Wait()
		assert.GreaterOrEqual(t, last.Sub(began), 3*time.Second, "the last one is not lost")
		count := acted[syscall.SIGHUP]
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Equal(t, count, acted[syscall.SIGHUP])
		caught <- syscall.SIGHUP
		synctest.Wait()
		assert.Equal(t, count+1, acted[syscall.SIGHUP])
		close(caught)
		<-done
		assert.LessOrEqual(t, len(log), 4)
		assert.Contains(t, strings.Join(log, "\n"), "received HUP 99")
	})
}

// When act ends it returns the signals that have come and were not acted on.
func TestSignalsThatAreLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, pause := context.WithCancel(t.Context())
		acted := map[os.Signal]int{}
		request := func(sig os.Signal) Request {
			return func(ctx context.Context, _ string) {
				if acted[sig]++; sig == syscall.SIGTERM {
					<-ctx.Done() // the loop stands still
				}
			}
		}
		caught := make(chan os.Signal, 100)
		left := make(chan []os.Signal)
		table := Table{syscall.SIGINT: request(syscall.SIGINT), syscall.SIGHUP: request(syscall.SIGHUP), syscall.SIGTERM: request(syscall.SIGTERM)}
		go func() { left <- table.act(ctx, caught, t.Logf) }()
		for range signalsAtOnce + 2 {
			caught <- syscall.SIGINT
		}
		caught <- syscall.SIGTERM
		caught <- syscall.SIGHUP
		synctest.Wait()
		pause()
		assert.ElementsMatch(t, []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}, <-left)
		assert.Equal(t, map[os.Signal]int{syscall.SIGINT: signalsAtOnce, syscall.SIGTERM: 1}, acted)
	})
}
