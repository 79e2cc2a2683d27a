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

// All other fields are read: some things have to be done in any case, such as going back.
func TestWhatStandsBesideAnUnknownFieldIsRead(t *testing.T) {
	t.Parallel()
	type newer struct {
		Text  string
		Newer []int
		Count int
	}
	text := encoded(clock{}, struct {
		Yes   bool
		Parts []newer
		Newer string
		Text  string
	}{true, []newer{{"one", []int{7}, 1}, {"two", nil, 2}}, "x", "last"})
	var read whole
	assert.EqualError(t, clock{}.decodeInto(text, reflect.ValueOf(&read).Elem()), `field Parts: it has a field "Newer", which this version does not know`)
	assert.Equal(t, whole{Yes: true, Parts: []part{{"one", 1}, {"two", 2}}, Text: "last"}, read)
}

func TestFieldsOfAState(t *testing.T) {
	t.Parallel()
	var some, all []string
	fields(reflect.ValueOf(whole{Part: &part{Count: 1}, Parts: []part{{"x", 0}}, When: time.Now()}), "", func(name string) { some = append(some, name) })
	assert.Equal(t, []string{"When", "Part", "Part.Count", "Parts", "Parts.Text"}, some)
	allFields(reflect.TypeFor[whole](), "", func(name string) { all = append(all, name) })
	assert.Subset(t, all, some)
	assert.Contains(t, all, "None.Text")
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
