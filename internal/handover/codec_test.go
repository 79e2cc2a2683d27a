package handover

import (
	"os"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type part struct {
	Text  string
	Count int
}

type whole struct {
	Yes    bool
	Number int
	Bits   uint8
	Text   string
	When   time.Time
	Long   time.Duration
	Signal os.Signal
	Part   *part
	Parts  []part
	Texts  []string
	None   *part
}

func encoded(c clock, v any) []byte { return c.append(nil, reflect.ValueOf(v)) }

func TestAStateIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	now := time.Now()
	there := whole{
		Yes: true, Number: -7, Bits: 200, Text: "a path\xff\n", When: now.Add(-time.Minute), Long: time.Hour, Signal: syscall.SIGTERM,
		Part: &part{Count: 1}, Parts: []part{{}, {"x", 1 << 40}}, Texts: []string{"", "two"},
	}
	text := encoded(clock{now, 5e9}, there)
	// The other image looks at the clock two seconds later.
	later := now.Add(2 * time.Second)
	var read whole
	require.NoError(t, clock{later, 7e9}.decodeInto(text, reflect.ValueOf(&read).Elem()))
	assert.Equal(t, there, read)
}

func TestAFieldThatIsNotKnownIsNamed(t *testing.T) {
	t.Parallel()
	text := encoded(clock{}, struct{ Newer int }{1})
	assert.EqualError(t, clock{}.decodeInto(text, reflect.ValueOf(&whole{}).Elem()), `it has a field "Newer", which this version does not know`)
}

func TestAStateThatIsCutIsAnError(t *testing.T) {
	t.Parallel()
	text := encoded(clock{}, whole{Number: 1 << 20, Parts: []part{{"x", 3}}, Texts: []string{"abc"}})
	ends := 0
	for n := range text {
		if (clock{}).decodeInto(text[:n], reflect.ValueOf(&whole{}).Elem()) == nil {
			ends++
		}
	}
	assert.Equal(t, 3, ends, "nothing, and what ends with a field")
}
