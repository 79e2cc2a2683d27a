package ctl

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

func TestStatusIsATable(t *testing.T) {
	t.Parallel()
	ready, next := 0.2141, 3.5
	hourAgo := time.Now().Add(-time.Hour)
	var out bytes.Buffer
	WriteStatus(&out, &control.Status{
		Pid: 4400, State: "refilling", Uptime: 11520, Restarts: 1,
		Workers: []control.Worker{
			{ID: control.ID{Generation: 2, Slot: 0, Pid: 4512}, State: "live", Age: 3661, ReadyAfter: &ready, Restarts: 2, LastExit: &control.Exit{Pid: 4400, Text: "exit code 1", At: hourAgo, Lived: 125}, Says: "\x1b[31m" + strings.Repeat("busy ", 20)},
			{ID: control.ID{Generation: 2, Slot: 1}, State: "missing", NextTry: &next},
		},
		Sockets: []control.Socket{{Name: "8080", Network: "tcp", Address: "0.0.0.0:8080", FD: 3}, {Name: "/run/sock", Network: "unix", Address: "/run/sock", FD: 4}},
		Failure: &control.Failure{Generation: 3, Reason: "exit code 1", At: hourAgo, Log: []string{"bell\a"}},
	})
	assert.Equal(t, `start_server (pid:4400) is refilling, up 3h12m, 1 restart

GEN  STATE    SLOT  PID   AGE   READY IN  STATUS
2    live     0     4512  1h1m  214ms     ?[31mbusy busy busy busy busy busy bu…
2    missing  1     -     -     -         next try in 3.5s

SLOT  RESTARTS  ENDED LAST  AGO   LIVED  HOW
0     2         4400        1h0m  2m5s   exit code 1

FD  NETWORK  SOCKET     ADDRESS
3   tcp      8080       0.0.0.0:8080
4   unix     /run/sock

The last attempt failed 1h0m ago: exit code 1
  bell?
`, out.String())
}

// Rows fit however long a worker has lived, and whatever it says.
func TestRowsFitATerminal(t *testing.T) {
	t.Parallel()
	long, next := 99999999.0, 3599.0
	var workers []control.Worker
	for slot := range 2 {
		workers = append(workers, control.Worker{
			ID: control.ID{Generation: 100000, Slot: 9998 + slot, Pid: 4194304}, State: "draining", Age: long, ReadyAfter: &long, Restarts: 100000,
			LastExit: &control.Exit{Pid: 4194304, Text: "killed by signal 11", Lived: long, At: time.Now().Add(-time.Hour)}, Says: strings.Repeat("語", 100),
		})
	}
	workers[1].NextTry = &next
	var out bytes.Buffer
	writeWorkers(&out, &control.Status{Workers: workers})
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, text.Width(strings.TrimSuffix(line, "\n")), 80, line)
	}
	assert.Contains(t, out.String(), "next try in 59m59s")
	assert.Contains(t, out.String(), "killed by signal 11\n")
}

// The exit of a slot's last worker is shown once, and not beside each worker that lives in the slot.
func TestTheLastExitIsNotThatOfAWorkerThatLives(t *testing.T) {
	t.Parallel()
	exit := &control.Exit{Pid: 7, Text: "exit code 9"}
	var out bytes.Buffer
	writeWorkers(&out, &control.Status{Workers: []control.Worker{
		{ID: control.ID{Generation: 1, Pid: 11}, State: "draining", LastExit: exit}, {ID: control.ID{Generation: 2, Pid: 22}, State: "live", LastExit: exit},
	}})
	assert.Regexp(t, `(?m)^0 +0 +7 .* exit code 9$`, out.String())
	assert.Equal(t, 1, strings.Count(out.String(), "exit code 9"))
}

func TestServes(t *testing.T) {
	t.Parallel()
	for state, want := range map[supervise.WorkerState]bool{
		"live": true, "old": true, "proving": false, "draining": false, "stopping": false, "failed": false, "missing": false,
	} {
		assert.Equal(t, want, Serves(&control.Status{Workers: []control.Worker{{State: "proving"}, {State: state}}}), state)
	}
}

func TestTableWithoutAnythingInItsLastColumn(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	table{{"A", "LONG NAME", "C"}, {"wïde 語", "-", ""}, {"", "", "last"}, {"", "", ""}, {"a\tb\n\v\f\x1b", "x", "|&<b>"}}.write(&out, 0)
	assert.Equal(t, "A        LONG NAME  C\n"+
		"wïde 語  -\n"+ // 語 takes two columns
		"                    last\n"+
		"\n"+
		"a b????  x          |&<b>\n", out.String())
}

func TestAge(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[float64]string{
		0: "0s", 0.0123456: "12ms", 9.87654: "9.877s", 59.6: "1m0s", 3599: "59m59s", 3661: "1h1m", 86400 * 3.5: "3d12h",
	} {
		assert.Equal(t, want, age(seconds))
	}
}

func progressOf(s *control.Status, events ...control.Event) (*progress, string) {
	var out bytes.Buffer
	p := newProgress(&out, s)
	for _, e := range events {
		p.event(e)
	}
	p.close()
	return p, out.String()
}

func TestProgressOfARestart(t *testing.T) {
	t.Parallel()
	one, two := &control.ID{Generation: 1, Pid: 11}, &control.ID{Generation: 2, Pid: 22}
	s := &control.Status{Generation: 1, WantedWorkers: 1, Workers: []control.Worker{{ID: *one, State: "live"}}}
	p, printed := progressOf(s,
		control.Event{Event: "restart-asked"},
		control.Event{Event: "started", Worker: two},
		control.Event{Event: "proven", Worker: two, Seconds: 0.25},
		control.Event{Event: "live", Generation: 2},
		control.Event{Event: "retiring", Workers: []control.ID{*one}},
		control.Event{Event: "something new"},
	)
	assert.Equal(t, "generation 2: worker 22 started in slot 0\ngeneration 2: worker 22 proved itself after 250ms\n"+
		"generation 2 is live, draining: 1 old worker left\n", printed)
	assert.Equal(t, 1, p.left())
	p.event(control.Event{Event: "exited", Worker: one})
	assert.Zero(t, p.left())
}

func named(generation, pid int) *control.ID {
	return &control.ID{Generation: generation, Pid: pid}
}

// progressOfTwo begins with two workers of generation 1. shows returns what is drawn at its call.
func progressOfTwo() (p *progress, out *bytes.Buffer, shows func() string) {
	out = new(bytes.Buffer)
	p = newProgress(out, &control.Status{Generation: 1, WantedWorkers: 2, Workers: []control.Worker{{ID: *named(1, 11), State: "live"}, {ID: *named(1, 12), State: "live"}}})
	return p, out, func() string {
		out.Reset()
		p.draw()
		return out.String()
	}
}

func TestProgressCountsWhoIsThere(t *testing.T) {
	t.Parallel()
	p, _, shows := progressOfTwo()
	assert.Regexp(t, `^waiting for \S+ for the next attempt$`, shows())
	p.event(control.Event{Event: "started", Worker: named(2, 21)})
	assert.Regexp(t, `^generation 2 proving for \S+: 0 of 2$`, shows())
	p.event(control.Event{Event: "proven", Worker: named(2, 21)})
	p.event(control.Event{Event: "retiring", Workers: []control.ID{*named(1, 11)}})
	assert.Regexp(t, `^generation 2, 1 of 2 proven: waiting for \S+ for 1 old worker to go$`, shows())
	p.event(control.Event{Event: "exited", Worker: named(2, 21)}) // another worker takes its place
	p.event(control.Event{Event: "started", Worker: named(2, 22)})
	assert.Regexp(t, `: 0 of 2$`, shows(), "who has died is no more proven")
	p.event(control.Event{Event: "proven", Worker: named(2, 22)})
	p.event(control.Event{Event: "exited", Worker: named(1, 11)})
	assert.Regexp(t, `: 1 of 2$`, shows())
	p.event(control.Event{Event: "live", Generation: 2})
	assert.Regexp(t, `^draining for \S+: 1 old worker left$`, shows())
}

// Old workers that stand by (--keep-old), or wait for --kill-old-delay, do not drain yet.
func TestProgressTellsOldWorkersThatAreToldToGoLater(t *testing.T) {
	t.Parallel()
	p, out, shows := progressOfTwo()
	p.event(control.Event{Event: "started", Worker: named(2, 21)})
	p.event(control.Event{Event: "started", Worker: named(2, 22)})
	out.Reset()
	p.event(control.Event{Event: "live", Generation: 2, Seconds: 60, Workers: []control.ID{*named(1, 11), *named(1, 12)}})
	assert.Equal(t, "generation 2 is live, 2 old workers left, to be told to go within 1m0s\n", out.String())
	assert.Regexp(t, `^2 old workers left, to be told to go within (1m0s|59\.\ds)$`, shows())
	p.event(control.Event{Event: "retiring", Workers: []control.ID{*named(1, 11)}})
	assert.Regexp(t, `^draining for \S+: 2 old workers left$`, shows())

	_, printed := progressOf(&control.Status{Generation: 1, WantedWorkers: 1, Workers: []control.Worker{{ID: *named(1, 11), State: "draining"}}},
		control.Event{Event: "live", Generation: 2, Seconds: 60})
	assert.Equal(t, "generation 2 is live, draining: 1 old worker left\n", printed, "it was told already")
}

// While old workers are waited for, the result of a later restart does not matter.
func TestProgressGoesOnWaitingForOldWorkersWhenALaterRestartFails(t *testing.T) {
	t.Parallel()
	p, _ := progressOf(&control.Status{Generation: 1, WantedWorkers: 1, Workers: []control.Worker{{ID: *named(1, 11), State: "live"}}},
		control.Event{Event: "rolled-back", Generation: 1}, // of an earlier restart
		control.Event{Event: "started", Worker: named(2, 21)},
		control.Event{Event: "live", Generation: 2})
	p.answered(2)
	assert.False(t, p.drained())
	p.event(control.Event{Event: "started", Worker: named(3, 31)})
	p.event(control.Event{Event: "failed", Generation: 3})
	p.event(control.Event{Event: "exited", Worker: named(3, 31)})
	assert.False(t, p.drained(), "worker 11 is there yet")
	p.event(control.Event{Event: "started", Worker: named(4, 41)})
	p.event(control.Event{Event: "exited", Worker: named(1, 11)})
	assert.True(t, p.drained(), "worker 21 is no old one")
	assert.Zero(t, p.isBack())
}

func TestWhatCameToPassAfterThePictureIsInIt(t *testing.T) {
	t.Parallel()
	old := control.ID{Generation: 1, Pid: 11}
	s := &control.Status{Generation: 2, Workers: []control.Worker{{ID: old, State: "draining"}}}
	var since []heard
	for _, e := range []control.Event{{Event: "exited", Worker: &old}, {Event: "started", Worker: &control.ID{Generation: 2, Pid: 22}}, {Event: "says"}} {
		since = append(since, heard{Event: e})
	}
	bringUpToDate(s, since)
	assert.Equal(t, []control.Worker{{ID: control.ID{Generation: 2, Pid: 22}, State: "proving"}}, s.Workers)
}
