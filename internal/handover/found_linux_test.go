package handover

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMessageToTheNextImage(t *testing.T) {
	t.Parallel()
	n, err := unix.MemfdCreate(stateName, unix.MFD_CLOEXEC)
	require.NoError(t, err)
	defer unix.Close(n)
	for _, m := range []message{
		{takeOver, n, nil, ""},
		{takeOver, n, []os.Signal{syscall.SIGTERM, syscall.SIGHUP}, ""},
		{goBack, n, []os.Signal{syscall.SIGQUIT}, "a:b,c\nd"},
	} {
		read, ok := parse(m.String())
		assert.True(t, ok, "%q", m)
		assert.Equal(t, m, read)
	}
	long, ok := parse(message{goBack, n, nil, strings.Repeat("x\x00", 200<<10)}.String())
	assert.True(t, ok)
	assert.Len(t, long.why, maxWhy)
}

// A variable that was set by hand hands nothing over.
func TestMessageThatIsMadeUp(t *testing.T) {
	t.Parallel()
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer f.Close()
	for _, text := range []string{"", "x", "take", "take:", "take:x", "take:0", "take:-1", "take:99999", "back:" + strconv.Itoa(int(f.Fd())) + ":y"} {
		_, ok := parse(text)
		assert.False(t, ok, "%q", text)
	}
}
