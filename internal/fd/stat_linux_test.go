package fd

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const stat = " S 1 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 17 18 19"

func TestStatOfAProcessWhateverItsNameIs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"(sh)", "(a) b)", "() S 9 9 ( )", "((x))", "(a\nb)"} {
		s, err := parseStat("4242 " + name + stat + "\n")
		require.NoError(t, err, name)
		assert.Equal(t, Stat{State: 'S', Parent: 1, Group: 4242, Started: 123450 * time.Millisecond}, s, name)
	}
}

func TestStatOfAProcessThatHasEnded(t *testing.T) {
	t.Parallel()
	s, err := parseStat("4242 (S) Z" + strings.TrimPrefix(stat, " S"))
	require.NoError(t, err)
	assert.EqualValues(t, 'Z', s.State)
}

func TestStatThatIsNone(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "4242 (sh", "4242 (sh) S 1", "4242 (sh)" + strings.Replace(stat, "12345", "soon", 1), "4242 (sh)" + strings.Replace(stat, " 1 ", " x ", 1)} {
		s, err := parseStat(line)
		assert.Error(t, err, line)
		assert.Zero(t, s)
	}
}

func TestStatOfOurselves(t *testing.T) {
	t.Parallel()
	s, err := ReadStat(os.Getpid())
	require.NoError(t, err)
	assert.Equal(t, os.Getppid(), s.Parent)
	assert.Positive(t, s.Started)
	_, err = ReadStat(1 << 30)
	assert.ErrorIs(t, err, os.ErrNotExist)
}
