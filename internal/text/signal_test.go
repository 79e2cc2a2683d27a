package text

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSignalsAreNamedInAnyCaseWithOrWithoutSIG(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]os.Signal{
		"TERM": syscall.SIGTERM, "SIGTERM": syscall.SIGTERM, "term": syscall.SIGTERM, "sigTerm": syscall.SIGTERM,
		" HUP ": syscall.SIGHUP, "int": syscall.SIGINT, "Quit": syscall.SIGQUIT, "SIGKILL": syscall.SIGKILL,
	} {
		sig, err := ParseSignal(name)
		assert.NoError(t, err, name)
		assert.Equal(t, want, sig, name)
	}
}

func TestUnknownSignalIsRefusedWithTheNamesThereAre(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "SIG", "NOSUCH", "SIGSIGTERM", "TERM,HUP", "0", "-1", "99"} {
		sig, err := ParseSignal(name)
		assert.Nil(t, sig)
		if assert.ErrorContains(t, err, "signal \""+name+"\" is not one of ") {
			assert.Regexp(t, ` HUP .*INT .*KILL .*QUIT .*TERM\b`, err.Error())
		}
	}
}

func TestEverySignalIsNamedAsItIsParsed(t *testing.T) {
	t.Parallel()
	require.Contains(t, SignalNames(), "TERM")
	for _, name := range SignalNames() {
		sig, err := ParseSignal(name)
		require.NoError(t, err)
		assert.Equal(t, name, SignalName(sig))
	}
	assert.Equal(t, syscall.Signal(0x7e).String(), SignalName(syscall.Signal(0x7e)), "a signal without a name")
}
