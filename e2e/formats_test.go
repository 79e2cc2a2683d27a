//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wild is a worker that writes text which no reader of logs should have to see.
const wild = `trap 'exit 3' TERM
printf 'nul \000 bad \377\376 \303 quote " \\ \033[31m\n'
printf '{"event":"exited"}\n'
head -c 200000 /dev/zero | tr '\0' 'x'; echo
printf 'no end'
echo to stderr >&2
while :; do sleep 0.05; done`

// logged is a line of the log as a reader of JSON sees it.
type logged struct {
	Time, Level, Event, Stream, Signal, Exit, Text string
	Generation, Pid                                int
	Slot, Status                                   *int
	Cut                                            bool
}

func parsed(t *testing.T, text string) (lines []logged) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l logged
		require.NoError(t, json.Unmarshal([]byte(line), &l), "%q", line)
		at, err := time.Parse("2006-01-02T15:04:05.000Z07:00", l.Time)
		require.NoError(t, err, line)
		require.WithinDuration(t, time.Now(), at, deadline)
		require.NotEmpty(t, l.Event, line)
		lines = append(lines, l)
	}
	return lines
}

func TestLogIsJSONWhateverWorkersWrite(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", "log"} {
		options := []string{"--interval=0.2", "--workers=2", "--log-format=json", "--log-workers", "--control=ctl"}
		if file != "" {
			options = append(options, "--log-file=log")
		}
		d := start(t, ours, append(options, "--", "/bin/sh", "-c", wild)...)
		read := func() string { return d.out.String() + d.file("log") }
		seesIn(t, read, 2, `to stderr`)
		code, printed := d.ask("--restart", "--drained")
		require.Zero(t, code, printed)
		seesIn(t, read, 4, `to stderr`)
		d.stop()
		count := map[string]int{}
		for _, l := range parsed(t, read()) {
			switch {
			case l.Event == "output":
				assert.NotZero(t, l.Pid)
				assert.NotZero(t, l.Generation)
				require.NotNil(t, l.Slot)
				count[l.Stream]++
				if l.Cut {
					count["cut"]++
				}
				count[l.Text]++
			case l.Event == "exited":
				assert.Equal(t, 3<<8, *l.Status)
				assert.Equal(t, "exit code 3", l.Exit)
				fallthrough
			default:
				count["event "+l.Event]++
			}
		}
		assert.Equal(t, 4, count["stderr"])
		assert.Equal(t, 4, count["to stderr"])
		assert.Equal(t, 4, count["no end"])
		assert.Equal(t, 4, count["nul \x00 bad \ufffd\ufffd \ufffd quote \" \\ \x1b[31m"])
		assert.Equal(t, 4, count[`{"event":"exited"}`], "forged, and nothing but text")
		assert.Equal(t, 4*(200000/(64<<10)), count["cut"])
		assert.Equal(t, 4, count["event exited"])
		assert.Equal(t, 4, count["event started"])
		assert.Equal(t, 1, count["event live"])
		assert.Equal(t, 1, count["event stopping"])
	}
}

func TestLogWithTheTime(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--interval=0.2", "--log-format=time", "--log-workers", "--log-file=log", "--", "/bin/sh", "-c", `echo up; echo "to stderr" >&2; sleep 1000`)
	read := func() string { return d.file("log") }
	const stamp = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|[+-]\d\d:\d\d) `
	pid := seesIn(t, read, 1, stamp+`starting new worker (\d+)$`)[0]
	seesIn(t, read, 1, stamp+`\[`+pid+` generation:1 slot:0 stdout\] up$`)
	seesIn(t, read, 1, stamp+`\[`+pid+` generation:1 slot:0 stderr\] to stderr$`)
	d.stop()
	seesIn(t, read, 1, stamp+`worker `+pid+` died, status:15 \(killed by signal 15 \(TERM\)\)$`)
	for line := range strings.Lines(read()) {
		assert.Regexp(t, stamp, line)
	}
	assert.Regexp(t, stamp+`start_server \(pid:\d+\) starting now\.\.\.\n$`, d.out.String())
}

// Without --log-workers workers write to the log themselves, whatever our own lines look like.
// With --prefix-output their lines begin with the pid.
func TestFormatOfWorkersLines(t *testing.T) {
	t.Parallel()
	const program = `echo up; exec sleep 1000`
	for options, want := range map[string]string{
		"":                                   `^up$`,
		"--log-format=json":                  `^up$`,
		"--prefix-output":                    `^\[\d+\] up$`,
		"--log-workers":                      `^\[\d+ generation:1 slot:0 stdout\] up$`,
		"--log-workers --prefix-output":      `^\[\d+ generation:1 slot:0 stdout\] up$`,
		"--prefix-output --log-format=time":  `^2\S+ \[\d+\] up$`,
		"--prefix-output --log-format=json":  `^\{"time":"[^"]*","level":"info","event":"output","generation":1,"slot":0,"pid":\d+,"text":"up"\}$`,
		"--log-workers --log-format=json":    `^\{"time":"[^"]*","level":"info","event":"output","generation":1,"slot":0,"pid":\d+,"stream":"stdout","text":"up"\}$`,
		"--log-workers --log-format=plain":   `^\[\d+ generation:1 slot:0 stdout\] up$`,
		"--log-format=time --interval=0.125": `^up$`,
	} {
		d := start(t, ours, append(strings.Fields("--interval=0.2 "+options), "--", "/bin/sh", "-c", program)...)
		d.sees(1, want)
		d.stop()
	}
}

// Our stderr is the journal, and JOURNAL_STREAM says so, as under systemd.
func TestLevelsForTheJournal(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	journal, err := os.Create(filepath.Join(dir, "journal"))
	require.NoError(t, err)
	defer journal.Close()
	var st syscall.Stat_t
	require.NoError(t, syscall.Fstat(int(journal.Fd()), &st))
	run := func(stream string, options ...string) string {
		require.NoError(t, journal.Truncate(0))
		c := exec.Command(ours, append(append([]string{"--interval=30", "--attempts=1"}, options...), "--", "/bin/sh", "-c", "exit 3")...)
		c.Dir, c.Env, c.Stderr = dir, append(os.Environ(), "JOURNAL_STREAM="+stream), journal
		_, err := journal.Seek(0, 0)
		require.NoError(t, err)
		require.Error(t, c.Run())
		text, err := os.ReadFile(journal.Name())
		require.NoError(t, err)
		return regexp.MustCompile(`\d+\)? `).ReplaceAllString(regexp.MustCompile(`worker \d+`).ReplaceAllString(string(text), "worker N"), "N ")
	}
	stream := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	with := run(stream)
	assert.Regexp(t, `(?m)^<6>start_server \(pid:N starting now\.\.\.$`, with)
	assert.Regexp(t, `(?m)^<6>starting new worker N$`, with)
	assert.Regexp(t, `(?m)^<3>new worker N seems to have failed to start, exit status:768$`, with)
	assert.Regexp(t, `(?m)^<3>giving up: `, with)
	assert.NotContains(t, run("1:2"), "<", "another stream")
	assert.NotContains(t, run(""), "<")
	assert.NotContains(t, run(stream, "--log-format=json"), "<")
	assert.NotContains(t, run(stream, "--log-format=time"), "<")
	run(stream, "--log-file=log")
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	require.NoError(t, err)
	assert.NotContains(t, string(text), "<", "a file takes no levels")
}
