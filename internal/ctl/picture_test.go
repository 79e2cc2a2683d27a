package ctl

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// noon is when the pictures here are drawn.
var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// drawn returns a picture of a status, with what some processes use.
func drawn(s *control.Status, to size, colours bool, uses map[int]use) string {
	u := newUsage()
	u.processes = map[int]*process{}
	for pid, uses := range uses {
		u.processes[pid] = &process{use: uses}
	}
	return strings.Join(newPicture(s, to, colours).lines(u, noon), "\n") + "\n"
}

func worker(generation, slot, pid int, state supervise.WorkerState, age float64, says string) control.Worker {
	return control.Worker{ID: control.ID{Generation: generation, Slot: slot, Pid: pid}, State: state, Age: age, Says: says}
}

// restarting is a superdaemon in the middle of a restart.
func restarting() *control.Status {
	next, left := 3.5, 12.0
	return &control.Status{
		Name: "start_server", Pid: 4400, State: "canary", Uptime: 11520, Restarts: 1, Generation: 2, Starting: 3, WantedWorkers: 2,
		Workers: []control.Worker{
			worker(1, 0, 4501, "draining", 3661, "2 requests left"),
			worker(2, 0, 4512, "live", 3600, "12 requests, the longest of them has taken 3 seconds"),
			{ID: control.ID{Generation: 2, Slot: 1}, State: "missing", NextTry: &next},
			worker(3, 0, 4601, "canary", 9.5, ""),
			worker(3, 1, 4602, "proving", 0.25, "loading"),
		},
		Sockets: []control.Socket{
			{Name: "8080", Network: "tcp", Address: "0.0.0.0:8080", FD: 3, Waiting: 17, WaitingFor: 4.2},
			{Name: "53", Network: "udp", Address: "0.0.0.0:53", FD: 4},
			{Name: "/run/sock", Network: "unix", Address: "/run/sock", FD: 5, Waiting: 1},
		},
		Traffic: []control.Traffic{{Generation: 2, Percent: 95, Waiting: 16}, {Generation: 3, Percent: 5, Waiting: 1, SecondsLeft: &left, Given: 42}},
	}
}

var usesOfRestarting = map[int]use{4400: {8 << 20, 0.004}, 4512: {130 << 20, 1.25}, 4601: {0, -1}, 4602: {12 << 20, 0.99}}

func TestPictureOfARestart(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `start_server (pid:4400) is canary, up 3h12m, 1 restart, 8.0 MB, CPU 0.4 %
12:00:00  5 workers: 1 proving, 1 canary, 1 draining, 1 missing, 1 live

GEN  STATE     SLOT  PID   AGE    MEMORY    CPU      STATUS
1    draining  0     4501  1h1m   -         -        2 requests left
2    live      0     4512  1h0m   130.0 MB  125.0 %  12 requests, the longest…
2    missing   1     -     -      -         -        next try in 3.5s
3    canary    0     4601  9.5s   -         -
3    proving   1     4602  250ms  12.0 MB   99.0 %   loading

GEN  CONNECTIONS  WAITING  TIME LEFT
2    95 %         16       -
3    5 %          1        12s        42 connections so far

FD  NETWORK  WAITING  SOCKET     ADDRESS
3   tcp      17       8080       0.0.0.0:8080
4   udp      -        53         0.0.0.0:53
5   unix     some     /run/sock

nobody accepts on 8080: 17 connections waiting for 4.2s
`, drawn(restarting(), size{78, 23}, false, usesOfRestarting))
}

func TestAWiderWindowShowsMoreOfTheStatus(t *testing.T) {
	t.Parallel()
	narrow, wide := size{79, 23}, size{199, 49}
	s := restarting()
	s.Workers[1].Says = strings.Repeat("request ", 100)
	count := func(picture string) int { return strings.Count(picture, "request") }
	assert.Greater(t, count(drawn(s, wide, false, usesOfRestarting)), count(drawn(s, narrow, false, usesOfRestarting))+10)
}

// sgr is a colour, or its end.
var sgr = regexp.MustCompile("\x1b\\[[0-9]*m")

// A picture in colours has the same words.
func TestColours(t *testing.T) {
	t.Parallel()
	s := restarting()
	s.Failure = &control.Failure{Reason: "exit code 1", At: time.Now().Add(-90 * time.Second)}
	s.Workers = append(s.Workers, worker(3, 2, 4603, "live", 1, "live"), worker(3, 3, 4604, "failed", 1, ""), worker(3, 4, 4605, "mystified", 1, ""), worker(3, 5, 4606, "old", 1, ""))
	to := size{79, 40}
	plain, painted := drawn(s, to, false, usesOfRestarting), drawn(s, to, true, usesOfRestarting)
	assert.Equal(t, plain, sgr.ReplaceAllString(painted, ""))
	assert.NotContains(t, plain, "\x1b")
	for _, want := range []string{
		"    \x1b[32mlive\x1b[0m      ", "\x1b[33mcanary\x1b[0m", "\x1b[33mproving\x1b[0m", "\x1b[2mdraining\x1b[0m", "\x1b[2mold\x1b[0m",
		"\x1b[31mmissing\x1b[0m", "\x1b[31mfailed\x1b[0m", "\x1b[31mnobody accepts on 8080", "\x1b[31mThe last attempt failed 1m30s ago: exit code 1\x1b[0m\n",
		" mystified ", " live\n",
	} {
		assert.Contains(t, painted, want)
	}
}

// If there is no room for all workers, those that matter most are shown, and a line counts the
// others.
func TestWorkersThatMatterAreShown(t *testing.T) {
	t.Parallel()
	s := &control.Status{Pid: 1, Sockets: []control.Socket{{Name: "8080", Network: "tcp", Address: "0.0.0.0:8080", FD: 3}}}
	for slot := range 10000 {
		s.Workers = append(s.Workers, worker(1, slot, 100+slot, "live", 100, ""))
	}
	for i, state := range []supervise.WorkerState{"draining", "missing", "proving", "canary"} {
		s.Workers[5000+i].State = state
	}
	p := newPicture(s, size{79, 23}, false)
	assert.Len(t, p.pids(), 1+len(p.workers), "no others are looked at")
	picture := drawn(s, size{79, 23}, false, nil)
	assert.Equal(t, 23, strings.Count(picture, "\n"))
	states := regexp.MustCompile(`(?m)^1 +(\w+) +\d+ `).FindAllStringSubmatch(picture, -1)
	require.Len(t, states, 15)
	for i, want := range []string{"proving", "canary", "draining", "missing", "live"} {
		assert.Equal(t, want, states[i][1])
	}
	assert.Contains(t, picture, "and another 9985 workers: 9985 live\n")
	assert.Contains(t, picture, "3   tcp      0        8080")

	few := drawn(s, size{79, 5}, false, nil)
	assert.Equal(t, 5, strings.Count(few, "\n"))
	assert.Contains(t, drawn(s, size{columns: 80}, false, nil), "\n1    live      9999  10099  ", "where there is no window all are there")
}

// In a small window the lines that tell of a fault are shown first.
func TestFaultsAreShownInASmallWindow(t *testing.T) {
	t.Parallel()
	s := restarting()
	s.Failure = &control.Failure{Reason: "exit code 7", At: time.Now(), Log: []string{"one", "two", "three"}}
	for slot := range 100 {
		s.Workers = append(s.Workers, worker(2, slot+2, 5000+slot, "live", 100, ""))
	}
	for pid := range 30 {
		s.Sockets = append(s.Sockets, control.Socket{Name: fmt.Sprint(9000 + pid), Network: "tcp", FD: 6 + pid})
	}
	picture := drawn(s, size{79, 23}, false, nil)
	assert.Equal(t, 23, strings.Count(picture, "\n"), picture)
	assert.Contains(t, picture, "proving")
	assert.Regexp(t, `\n\nThe last attempt failed \S+ ago: exit code 7\n`, picture)
	assert.Contains(t, picture, "\n\nnobody accepts on 8080: 17 connections waiting for 4.2s\n")
	assert.NotContains(t, picture, "three")
	picture = drawn(s, size{79, 40}, false, nil)
	assert.Regexp(t, `\n3   tcp      17 .*(\n.*)+\nand 2[0-9] more sockets\n`, picture)
}

// A large window also shows the log of a failure and the workers that have ended.
func TestALargeWindowShowsWhatHasEnded(t *testing.T) {
	t.Parallel()
	s := restarting()
	s.Failure = &control.Failure{Reason: "exit code 7", At: time.Now(), Log: []string{"one", "two", "three"}}
	for i := range s.Workers {
		s.Workers[i].Slot, s.Workers[i].Restarts = i, 3
		s.Workers[i].LastExit = &control.Exit{Pid: 300 + i, Text: "exit code 7", At: time.Now().Add(time.Duration(i-5) * time.Minute), Lived: 61}
	}
	assert.Regexp(t, `
SLOT  RESTARTS  ENDED LAST  AGO   LIVED  HOW
4     3         304         1m0s  1m1s   exit code 7
3     3         303         2m0s  1m1s   exit code 7
(.*\n){3}
GEN  CONNECTIONS (.*\n)+
The last attempt failed \S+ ago: exit code 7
  one
  two
  three
$`, drawn(s, size{79, 49}, false, nil))
	tight := drawn(s, size{79, 24}, false, nil)
	assert.Regexp(t, `exit code 7\n  two\n  three\n$`, tight, "the end of the log tells most")
	assert.Equal(t, 24, strings.Count(tight, "\n"))
}

func TestPictureOfNothing(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `start_server (pid:7) is starting, up 0s, 0 restarts
12:00:00  0 workers

no worker is there

no socket is bound
`, drawn(&control.Status{Pid: 7, State: "starting"}, size{79, 23}, true, nil))
	for line := range strings.Lines(drawn(&control.Status{Pid: 7, State: "starting"}, size{9, 23}, true, nil)) {
		assert.LessOrEqual(t, text.Width(line), 9+1, line)
	}
}

// Foreign text stays in the window, and does not move the cursor.
func TestHostileTextsStayInTheWindow(t *testing.T) {
	t.Parallel()
	hostile := []string{
		"\x1b[2J\x1b[H\x1b]0;title\a\x9b31m\r\n\t\v\b\x00" + strings.Repeat("語", 300), strings.Repeat("👩‍👩‍👧‍👦", 100), strings.Repeat("\u0301", 500),
		"\u202eright to left", "\xff\xfe" + strings.Repeat("\xf0", 200), strings.Repeat("﷽", 200), strings.Repeat("x", 1<<14), "",
	}
	for seed := range 8 {
		s := restarting()
		word := func(n int) string { return hostile[(seed+n)%len(hostile)] }
		s.Name, s.State, s.Version, s.Upgrades, s.ImageSince = word(0), supervise.Phase(word(1)), word(2), 3, time.Now()
		for i := range s.Workers {
			w := &s.Workers[i]
			w.Says, w.State, w.Age = word(i), supervise.WorkerState(word(i+1)), 1e300
			w.LastExit = &control.Exit{Text: word(i + 2), Lived: -5}
		}
		for i := range s.Sockets {
			s.Sockets[i].Name, s.Sockets[i].Network, s.Sockets[i].Address = word(i), word(i+3), word(i+4)
		}
		s.Failure = &control.Failure{Reason: word(5), Log: []string{word(6), word(7)}}
		for _, to := range []size{{1, 1}, {2, 3}, {20, 5}, {39, 11}, {79, 23}, {199, 49}} {
			for _, colours := range []bool{false, true} {
				picture := strings.TrimSuffix(drawn(s, to, colours, usesOfRestarting), "\n")
				bare := sgr.ReplaceAllString(picture, "")
				lines := strings.Split(bare, "\n")
				require.LessOrEqual(t, len(lines), to.rows)
				for _, line := range lines {
					require.LessOrEqual(t, text.Width(line), to.columns, "%v: %.100q", to, line)
					require.True(t, utf8.ValidString(line))
					require.Equal(t, -1, strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", line)
				}
				if !colours {
					require.Equal(t, bare, picture)
				}
			}
		}
	}
}

func TestFolded(t *testing.T) {
	t.Parallel()
	for columns, want := range map[int][]string{
		40: {"it is not there, since 12:00"}, 12: {"it is not", "there, since", "12:00"}, 5: {"it is", "not", "there", ",", "since", "12:00"},
	} {
		assert.Equal(t, want, folded("it is not there, since 12:00", columns))
	}
	assert.Equal(t, []string{"…"}, folded("語語", 1))
	assert.Equal(t, []string{""}, folded("", 5))
}
