package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wall finds what loses a time's monotonic reading, or never has one. A difference of such
// times is wrong when the clock is set.
var wall = regexp.MustCompile(`\.Round\(0\)|\.(UTC|Local|ModTime)\(\)|\.Unix(Milli|Micro|Nano)?\(|\btime\.(Unix|UnixMilli|UnixMicro|Date|Parse|ParseInLocation)\(|CLOCK_REALTIME`)

// byTheWall is where it is meant: in texts and protocols, for a deadline that has long been
// over, for the age of a directory, which nothing else tells, and to know a file again.
var byTheWall = map[string]string{
	"internal/control/encode.go":        "v.UnixMilli()",
	"internal/control/decode.go":        "time.UnixMilli(",
	"internal/control/conversation.go":  "SetReadDeadline(time.Unix(1, 0))",
	"internal/control/client.go":        "SetDeadline(time.Unix(1, 0))",
	"internal/monitor/collect/view.go":  "m.UnixMilli()",
	"internal/notify/place_linux.go":    "time.Since(info.ModTime()) > beingMade",
	"internal/runfile/orphans_linux.go": "findOrphan(e.Pid, status.info.ModTime())",   // did it start before the file was written
	"internal/runfile/status.go":        "s.info.ModTime().Equal(old.info.ModTime())", // is it the same file
	"packaging/sbom/main.go":            "time.Unix(*created, 0)",
	"listener/drain.go":                 "SetReadDeadline(time.Unix(1, 0))",
}

// TestNothingMeasuresByAClockThatIsSet: loop, files and clients go by the monotonic clock.
func TestNothingMeasuresByAClockThatIsSet(t *testing.T) {
	t.Parallel()
	var files int
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "bench" || name == "e2e" || name == "packaging" || d.Name() == ".git"):
			return fs.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			if allowed := byTheWall[name]; wall.MatchString(line) && (allowed == "" || !strings.Contains(line, allowed)) {
				assert.Fail(t, "by the wall clock", "%s: %s", name, strings.TrimSpace(line))
			}
		}
		return err
	}))
	assert.Greater(t, files, 100)
}
