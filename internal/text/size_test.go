package text

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]int64{"1": 1, "512m": 512 << 20, "1.5G": 3 << 29, "2KiB": 2048, " 10 MB ": 10 << 20, "1T": 1 << 40} {
		n, err := ParseSize(given)
		assert.NoError(t, err)
		assert.Equal(t, want, n, given)
	}
	for _, given := range []string{"", "0", "-1M", "M", "1Q", "NaN", "inf", "9999999T", "0.5", "1e"} {
		_, err := ParseSize(given)
		assert.ErrorContains(t, err, "is not a size such as 512M", given)
	}
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1536: "1.5 KB", 512 << 20: "512.0 MB", 3 << 40: "3.0 TB"} {
		assert.Equal(t, want, Size(n))
	}
}
