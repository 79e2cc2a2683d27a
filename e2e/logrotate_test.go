//go:build linux

package e2e

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counting is a worker that counts on both streams, as fast as a busy server logs. At the end it
// says how far it has counted.
const counting = `trap 'echo "end $i"; exit 0' TERM
i=0
while :; do
	i=$((i+1)); echo "$i"; echo "$i" >&2
	[ $((i % 20)) != 0 ] || sleep 0.02
done`

// rotator runs logrotate on the log in a directory.
type rotator struct {
	t         *testing.T
	dir, conf string
	args      []string
}

// newRotator changes the file of deploy/ for a test: other paths, our program, and what change
// does.
func newRotator(t *testing.T, dir string, change func(string) string) *rotator {
	t.Helper()
	conf := deployed(t, "logrotate/start_server")
	for old, is := range map[string]string{
		"/var/log/app/app.log": filepath.Join(dir, "app.log"), "/run/app/app.ctl": filepath.Join(dir, "ctl"),
		"\t\tstart_server": "\t\t" + ours, "\tsu app app\n": "", "rotate 14": "rotate 1000",
	} {
		require.Contains(t, conf, old)
		conf = strings.ReplaceAll(conf, old, is)
	}
	r := &rotator{t: t, dir: dir, conf: filepath.Join(dir, "logrotate.conf")}
	require.NoError(t, os.WriteFile(r.conf, []byte(change(conf)), 0o644))
	r.args = []string{needs(t, "logrotate"), "--force", "--state", filepath.Join(dir, "state"), r.conf}
	return r
}

// rotate is one rotation.
func (r *rotator) rotate() {
	r.t.Helper()
	text, err := exec.Command(r.args[0], r.args[1:]...).CombinedOutput()
	require.NoError(r.t, err, "%s", text)
}

// all is everything that was logged, the oldest first, and the number of files.
func (r *rotator) all() (text string, files int) {
	r.t.Helper()
	texts := r.files()
	return strings.Join(texts, ""), len(texts)
}

// files is what is in each file, the oldest first.
func (r *rotator) files() (texts []string) {
	r.t.Helper()
	paths, err := filepath.Glob(filepath.Join(r.dir, "app.log*"))
	require.NoError(r.t, err)
	number := func(path string) int {
		n, _ := strconv.Atoi(strings.Trim(strings.TrimPrefix(filepath.Base(path), "app.log"), ".gz"))
		return n
	}
	slices.SortFunc(paths, func(a, b string) int { return number(b) - number(a) })
	for _, path := range paths {
		f, err := os.Open(path)
		require.NoError(r.t, err)
		from := io.Reader(f)
		if strings.HasSuffix(path, ".gz") {
			from, err = gzip.NewReader(f)
			require.NoError(r.t, err, path)
		}
		text, err := io.ReadAll(from)
		require.NoError(r.t, err, path)
		f.Close()
		texts = append(texts, string(text))
	}
	return texts
}

// counted checks that all that each worker has counted is there, in order and once. It returns the
// number of lines and of workers.
func counted(t *testing.T, log string) (lines, workers int) {
	t.Helper()
	next, ended := map[string]int{}, map[string]int{}
	for line := range strings.Lines(log) {
		var l struct {
			Event, Stream, Text string
			Pid, Slot           int
		}
		require.NoError(t, json.Unmarshal([]byte(line), &l), "%q", line)
		if l.Event != "output" {
			continue
		}
		lines++
		of := fmt.Sprintf("%d %s", l.Pid, l.Stream)
		if last, is := strings.CutPrefix(l.Text, "end "); is {
			n, err := strconv.Atoi(last)
			require.NoError(t, err, line)
			ended[of] = n
			continue
		}
		next[of]++
		require.Equal(t, strconv.Itoa(next[of]), l.Text, "%s", line)
	}
	for of, n := range ended {
		for _, stream := range []string{of, strings.Replace(of, "stdout", "stderr", 1)} {
			assert.InDelta(t, n, next[stream], 1, "to the end, of %s", stream)
		}
	}
	assert.Len(t, next, 2*len(ended), "every worker has come to its end")
	return lines, len(ended)
}

// TestLogrotate lets logrotate itself rename and compress the log, while workers write as fast as
// they can.
func TestLogrotate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		rotations int
		change    func(string) string
	}{
		{"compressed one later", 100, func(conf string) string { return conf }},
		{"compressed at once", 20, func(conf string) string { return strings.Replace(conf, "\tdelaycompress\n", "", 1) }},
		{"a file that is made", 20, func(conf string) string { return strings.Replace(conf, "nocreate", "create 0600", 1) }},
		{"by USR1", 20, func(conf string) string {
			return regexp.MustCompile(`(?m)^\t\t.* --reopen .*$`).ReplaceAllString(conf, "\t\tkill -USR1 $(cat pid)")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			r := newRotator(t, dir, func(conf string) string { return strings.ReplaceAll(c.change(conf), "cat pid", "cat "+dir+"/pid") })
			d := startIn(t, dir, nil, ours, "--interval=0.2", "--workers=2", "--log-file=app.log", "--log-workers", "--log-format=json",
				"--control=ctl", "--pid-file=pid", "--", "/bin/sh", "-c", counting)
			seesIn(t, func() string { return d.file("app.log") }, 100, `"event":"output"`)
			for n := 1; n <= c.rotations; n++ {
				r.rotate()
				eventually(t, func() bool { return d.file("app.log") != "" }, func() string { return "nothing is written to the new file" })
				if n%10 == 0 {
					code, printed := d.ask("--restart", "--drained")
					require.Zero(t, code, printed)
				}
			}
			d.stop()
			log, files := r.all()
			assert.Equal(t, c.rotations+1, files)
			lines, workers := counted(t, log)
			assert.Equal(t, 2+2*c.rotations/10, workers)
			t.Logf("%d lines of %d workers in %d files", lines, workers, files)
		})
	}
}

// Workers that write to the log themselves get the new file after a restart.
func TestLogrotateWithARestart(t *testing.T) {
	t.Parallel()
	const rotations = 12
	dir := tempDir(t)
	r := newRotator(t, dir, func(conf string) string {
		return strings.Replace(strings.Replace(conf, "\tdelaycompress\n", "", 1), "\t\t"+ours+" --reopen", "\t\t"+ours+" --restart --drained", 1)
	})
	d := startIn(t, dir, nil, ours, "--interval=0.1", "--log-file=app.log", "--control=ctl", "--", "/bin/sh", "-c",
		strings.NewReplacer(`echo "$i"; echo "$i" >&2`, `echo "$$ $i"`, `echo "end`, `echo "$$ end`).Replace(counting))
	seesIn(t, func() string { return d.file("app.log") }, 100, `^\d+ \d+$`)
	for range rotations {
		r.rotate()
	}
	d.stop()
	log, files := r.all()
	assert.Equal(t, rotations+1, files)
	next, ended := map[string]int{}, 0
	for _, found := range regexp.MustCompile(`(?m)^(\d+) (end )?(\d+)$`).FindAllStringSubmatch(log, -1) {
		if found[2] != "" {
			n, _ := strconv.Atoi(found[3])
			assert.InDelta(t, n, next[found[1]], 1)
			ended++
			continue
		}
		next[found[1]]++
		require.Equal(t, strconv.Itoa(next[found[1]]), found[3], "of worker %s", found[1])
	}
	assert.Equal(t, rotations+1, ended)
	assert.Equal(t, rotations, strings.Count(log, "is another file now: the log goes there\n"))
}

// TestLogrotateCopiesAndTruncates: no line is there twice. Lines that are written between the copy
// and the truncation are lost, as logrotate(8) says, and of one that is written during the copy only
// the beginning may be there. Nothing is lost only while nothing is written.
func TestLogrotateCopiesAndTruncates(t *testing.T) {
	t.Parallel()
	const rotations, quiet = 100, 20
	dir := tempDir(t)
	r := newRotator(t, dir, func(conf string) string {
		return regexp.MustCompile(`(?s)\tnocreate\n.*endscript\n`).ReplaceAllString(conf, "\tcopytruncate\n")
	})
	d := startIn(t, dir, nil, ours, "--interval=0.2", "--log-file=app.log", "--log-workers", "--log-format=json", "--control=ctl",
		"--", "/bin/sh", "-c", counting)
	seesIn(t, func() string { return d.file("app.log") }, 100, `"event":"output"`)
	worker := seesIn(t, func() string { return d.file("app.log") }, 1, `"event":"output".*"pid":(\d+)`)[0]
	pid, err := strconv.Atoi(worker)
	require.NoError(t, err)
	for n := range rotations + quiet {
		if n == rotations { // from now on nothing is written meanwhile
			require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
			code, printed := d.ask("--reopen") // it is answered when all earlier lines are written
			require.Zero(t, code, printed)
		}
		r.rotate()
		if n >= rotations {
			d.signal(syscall.SIGUSR2) // a line of our own
			seesIn(t, func() string { return d.file("app.log") }, 1, `received USR2`)
		}
	}
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	seesIn(t, func() string { return d.file("app.log") }, 1, `"event":"output"`)
	d.stop()
	files := r.files()
	for i := range files[:len(files)-1] {
		files[i] = files[i][:strings.LastIndex(files[i], "\n")+1]
	}
	log := strings.Join(files, "")
	last, lost := map[string]int{}, 0
	for line := range strings.Lines(log) {
		var l struct{ Event, Stream, Text string }
		require.NoError(t, json.Unmarshal([]byte(line), &l), "%q", line)
		if n, err := strconv.Atoi(l.Text); err == nil && l.Event == "output" {
			require.Greater(t, n, last[l.Stream], "not there twice: %s", line)
			lost += n - last[l.Stream] - 1
			last[l.Stream] = n
		}
	}
	assert.Equal(t, quiet, strings.Count(log, "received USR2"), "all that was written while nobody else wrote")
	t.Logf("copytruncate has lost %d of %d lines in %d rotations under load", lost, last["stdout"]+last["stderr"], rotations)
}
