package starter

import (
	"bytes"
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/stretchr/testify/assert"
)

// Of a flood of signals some are acted on, the last one in any case, and one line a second
// says how many there were. Other signals do not wait for that.
func TestFloodOfSignals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &Starter{out: output.New(&log, "a test")}
		acted := map[os.Signal]int{}
		last := time.Time{}
		act := func(sig os.Signal) request {
			return func(context.Context, string) { acted[sig]++; last = time.Now() }
		}
		caught := make(chan os.Signal)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.actOn(t.Context(), caught, map[os.Signal]request{syscall.SIGHUP: act(syscall.SIGHUP), syscall.SIGTERM: act(syscall.SIGTERM)})
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
		s.out.Flush()
		assert.LessOrEqual(t, strings.Count(log.String(), "\n"), 4)
		assert.Contains(t, log.String(), "received HUP 99")
	})
}
