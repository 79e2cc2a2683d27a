package report

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// unitState is the state that the service manager believes us to be in.
type unitState int

const (
	unitStarts  unitState = iota
	unitRuns              // READY=1 was said
	unitReloads           // RELOADING=1 was said
	unitStops             // STOPPING=1 was said
)

// Manager tells the service manager above us how we get on, by the protocol of
// sd_notify(3).
//
//	event                  | starts         | runs        | reloads          | stops
//	-----------------------+----------------+-------------+------------------+------
//	restart asked          | -              | RELOADING=1 | -                | -
//	live, another one due  | READY=1, then  | -           | -                | -
//	                       | RELOADING=1    |             |                  |
//	live                   | READY=1        | -           | READY=1          | -
//	failed, and requests   | no more time   | -           | READY=1          | -
//	for it are answered    | is asked for   |             |                  |
//	given up, old serve on | -              | -           | READY=1          | -
//	given up, none serves  | STOPPING=1     | STOPPING=1  | STOPPING=1       | -
//	stop asked, delayed    | STOPPING=1     | STOPPING=1  | STOPPING=1       | -
//	or at once             |                |             |                  |
//
// So RELOADING=1 and READY=1 take turns, and the last restart that was asked for
// is decided when READY=1 comes. Unless attempts are bounded, READY=1 comes with
// the first attempt that fails, like the answer to Restart, and STATUS says that
// another one is tried. A HUP during the start does not put READY=1 off: the start
// is over when a generation is live, and no timeout may make it fail after that.
//
// For Type=notify-reload a RELOADING=1 counts only if its MONOTONIC_USEC is not
// from before the manager's HUP. The HUP may come when we are reloading already. Then
// one message has RELOADING=1, with the time of the last request, and READY=1: the
// manager takes it for a reload that has begun and ended.
//
// A restart by the clock, or because all workers died, is no reload: nobody
// waits for it, and the manager would reload the units that are bound to this
// one. STATUS tells of it.
//
// The manager's timeout, TimeoutStartSec or TimeoutStopSec, is extended as long as our
// own bounds say that something has to happen. At the start and in a reload the bound
// is the interval and the time for the proof, counted from each new attempt, slot or step
// of a canary; where old workers have to go first the kill timeout is added. At a stop it
// is the delay and the kill timeout. The timeout is not extended for what has no bound:
// attempts without an end, after the first, and workers that take as long as they like
// to go. TimeoutStopSec is all that the administrator has said about those.
//
// With --daemonize, that is Type=forking, systemd gives no NOTIFY_SOCKET unless
// NotifyAccess= is set. It then takes STATUS, and ignores READY=1.
//
// Only the loop's goroutine touches these fields, so what is said is what the loop
// knows. The timer only makes the loop settle: when the loop hangs, neither WATCHDOG=1
// nor EXTEND_TIMEOUT_USEC is sent.
type Manager struct {
	send  func(text string) error // may block; called in the queue
	stamp func() string           // the line MONOTONIC_USEC, of now
	log   func(format string, args ...any)
	wake  func()        // makes the loop settle; may block
	watch time.Duration // from one WATCHDOG=1 to the next; 0: the manager wants none

	queue   output.Queue
	waiting atomic.Int32 // messages in the queue
	failed  bool         // a message could not be sent; touched in the queue only

	unit     unitState
	asked    string        // stamp of the last request since RELOADING=1; "": there was none
	why      string        // why the last attempt failed; "": it did not
	gaveUp   bool          // no other attempt is made
	fatal    bool          // and so the superdaemon ends
	delay    time.Duration // before the stop; 0: it has begun, or was not asked for
	extends  bool          // the manager's timeout is extended
	extendAt time.Time     // when it is extended again
	watchAt  time.Time     // when WATCHDOG=1 is due
	notices  []string      // to be sent by settled
	news     bool          // there were events since settled
	tally    supervise.Tally
	said     string // the last STATUS
	timer    *time.Timer
}

// The manager's timeout is extended by extension every extendEvery: a message may come
// late, or get lost when the manager restarts. With a much longer extension a hang would
// be noticed late: it holds the watchdog up, too.
const (
	extension   = 30 * time.Second
	extendEvery = 10 * time.Second
	// extendSlack is added to our own bounds: to be killed takes time, too.
	extendSlack = 5 * time.Second
)

// maxWaiting is how many messages may wait for a manager that does not read. After that
// WATCHDOG=1 and STATUS are left out: a later one makes up for them.
const maxWaiting = 100

// NewManager reads the environment. It calls log with what cannot be done. wake has to
// make the loop settle.
func NewManager(log func(format string, args ...any), wake func()) *Manager {
	m := &Manager{
		send: func(text string) error {
			_, err := daemon.SdNotify(false, text)
			return err
		},
		stamp:   daemon.SdNotifyMonotonicUsec,
		log:     log,
		wake:    wake,
		extends: true, // it is the start
	}
	timeout, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log("the watchdog is not told that we are alive: %v", err)
	}
	m.watch = timeout / 2
	return m
}

// Hear notes what the manager has to be told.
func (m *Manager) Hear(e supervise.Event) {
	if tally, is := e.(supervise.Tally); is {
		m.settled(tally)
		return
	}
	m.news = true
	switch e := e.(type) {
	case supervise.RestartAsked:
		m.onAsked()
	case supervise.AttemptFailed:
		m.onFailed(e)
	case supervise.GaveUp:
		if m.gaveUp = true; e.Serving {
			m.decided()
		} else {
			m.fails()
		}
	case supervise.WentLive:
		m.onLive(e.Due)
	case supervise.StopDelayed:
		if !e.Repeated {
			m.stops(e.Delay)
		}
	case supervise.StopAsked:
		if !e.Repeated {
			m.stops(0)
		}
	}
}

// HandsOver tells the service manager that another image of this program goes on with the unit. It
// blocks until that is sent, for output.FlushTime at most. The Manager must not be used after that,
// unless the image cannot be executed: then stays has to be called, and all goes on. state is the
// state that the service manager believes the unit to be in, for a nil Manager unitStarts. rest is
// what else the image has to know; nil: nothing.
func (m *Manager) HandsOver() (state int, rest *UnitRest, stays func()) {
	if m == nil {
		return int(unitStarts), nil, func() {}
	}
	for _, notice := range m.notices {
		m.tell(notice)
	}
	m.notices = nil
	known := UnitRest{Undecided: m.unit == unitReloads, Asked: m.asked, Why: m.why, GaveUp: m.gaveUp, Delay: m.delay}
	if known != (UnitRest{}) {
		rest = &known
	}
	runs := m.unit == unitRuns
	if runs {
		m.tell(reloading(m.stamp()))
		m.unit = unitReloads
	}
	m.queue.Flush()
	return int(m.unit), rest, func() {
		if runs {
			m.decided()
		}
	}
}

// UnitRest is what the next image has to know of the unit beside its state.
type UnitRest struct {
	Undecided bool // a restart that the manager waits for is under way
	Asked     string
	Why       string
	GaveUp    bool
	Delay     time.Duration
}

// GoesOn takes over in the next image, before the loop runs. If the service manager believes the
// unit to be reloading, and no restart follows or is under way, it is told READY=1 when the loop
// first settles.
func (m *Manager) GoesOn(state int, rest *UnitRest, restarts bool) {
	if m == nil {
		return
	}
	m.unit = unitState(state)
	m.extends = m.unit != unitRuns
	undecided := false
	if rest != nil {
		undecided = rest.Undecided
		m.asked, m.why, m.gaveUp, m.delay = rest.Asked, rest.Why, rest.GaveUp, rest.Delay
	}
	if m.unit == unitReloads && !restarts && !undecided {
		m.decided()
	}
}

func (m *Manager) onAsked() {
	m.why, m.gaveUp = "", false
	m.asked = m.stamp()
	if m.unit == unitRuns {
		m.reloads()
	}
	m.extend()
}

// reloads begins a reload.
func (m *Manager) reloads() {
	m.notices = append(m.notices, reloading(m.asked))
	m.unit, m.asked = unitReloads, ""
	m.extend()
}

func reloading(stamp string) string { return strings.TrimSuffix("RELOADING=1\n"+stamp, "\n") }

// onLive is the end of a start or a reload, unless another restart is due.
func (m *Manager) onLive(due bool) {
	m.why = ""
	switch {
	case m.unit == unitStarts:
		m.notices = append(m.notices, daemon.SdNotifyReady)
		m.unit, m.extends = unitRuns, false
		if due {
			m.reloads()
		}
		m.asked = ""
	case !due:
		m.decided()
	}
}

func (m *Manager) onFailed(e supervise.AttemptFailed) {
	m.why = e.Error()
	switch {
	case e.Hopeless:
		m.fails()
	case e.Decided && e.Pause >= 0: // without another attempt GaveUp comes
		m.decided()
	}
}

// decided ends a reload. It does not end a start, as no generation is live: but there
// may never be one, so the manager's timeout is not extended any more.
func (m *Manager) decided() {
	switch m.unit {
	case unitStarts:
		m.extends = false
	case unitReloads:
		ready := daemon.SdNotifyReady
		if m.asked != "" {
			ready = reloading(m.asked) + "\n" + ready
		}
		m.notices = append(m.notices, ready)
		m.unit, m.asked, m.extends = unitRuns, "", false
	}
}

// fails begins the end when there is no worker to serve.
func (m *Manager) fails() {
	m.fatal = true
	m.stops(0)
}

// stops begins a stop, or the delay before one.
func (m *Manager) stops(delay time.Duration) {
	m.delay = delay
	if m.unit != unitStops {
		m.notices = append(m.notices, daemon.SdNotifyStopping)
		m.unit = unitStops
	}
	m.extend()
}

// extend makes settled extend the manager's timeout, as long as the loop has a deadline.
func (m *Manager) extend() { m.extends, m.extendAt = true, time.Now() }

// settled sends the notices that wait, and the watchdog, timeout and STATUS if they are due.
func (m *Manager) settled(t supervise.Tally) {
	now := time.Now()
	if m.watch > 0 && !now.Before(m.watchAt) {
		m.watchAt = now.Add(m.watch)
		if m.waiting.Load() < maxWaiting {
			m.tell(daemon.SdNotifyWatchdog)
		}
	}
	var lines []string
	if m.extends && !now.Before(m.extendAt) && now.Before(t.Deadline) {
		m.extendAt = now.Add(extendEvery)
		more := min(extension, t.Deadline.Sub(now)+extendSlack)
		lines = append(lines, "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(more.Microseconds(), 10))
	}
	if m.news || t != m.tally {
		m.news, m.tally = false, t
		if status := oneLine(m.status(t), maxStatus); status != m.said && (len(m.notices) > 0 || m.waiting.Load() < maxWaiting) {
			m.said = status
			lines = append(lines, "STATUS="+status)
		}
	}
	if last := len(m.notices) - 1; last >= 0 {
		lines = append([]string{m.notices[last]}, lines...)
		for _, notice := range m.notices[:last] {
			m.tell(notice)
		}
		m.notices = nil
	}
	if len(lines) > 0 {
		m.tell(strings.Join(lines, "\n"))
	}
	m.alarm(now, t.Deadline)
}

// alarm makes the loop settle when something is due.
func (m *Manager) alarm(now, deadline time.Time) {
	at := m.watchAt // zero: the manager has no watchdog for us
	if m.extends && now.Before(deadline) && m.extendAt.Before(deadline) && (at.IsZero() || m.extendAt.Before(at)) {
		at = m.extendAt
	}
	switch {
	case at.IsZero() && m.timer != nil:
		m.timer.Stop()
	case at.IsZero():
	case m.timer == nil:
		m.timer = time.AfterFunc(at.Sub(now), m.wake)
	default:
		m.timer.Reset(at.Sub(now))
	}
}

// tell sends a message as soon as those before it are sent.
func (m *Manager) tell(text string) {
	m.waiting.Add(1)
	m.queue.Add(func() {
		defer m.waiting.Add(-1)
		if err := m.send(text); err != nil && !m.failed {
			m.failed = true
			m.log("the service manager is not told, as its socket, NOTIFY_SOCKET, cannot be written to: %v", err)
		}
	})
}

// End tells the manager that the superdaemon ends, and why: err. It blocks until that is sent,
// for output.FlushTime at most. The loop must have ended, or never have run.
func (m *Manager) End(err error) {
	if m == nil {
		return
	}
	if m.timer != nil {
		m.timer.Stop()
	}
	var lines []string
	if m.unit != unitStops {
		lines = append(lines, daemon.SdNotifyStopping)
		m.unit = unitStops
	}
	if err != nil {
		if status := oneLine(failedStatus(err.Error()), maxStatus); status != m.said {
			lines = append(lines, "STATUS="+status)
		}
	}
	if len(lines) > 0 {
		m.tell(strings.Join(lines, "\n"))
	}
	m.queue.Flush()
}
