// Package collect keeps in touch with superdaemons by their control sockets: it finds them,
// asks for their status, hears their events, and remembers the history of their generations.
package collect

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	askTime   = 500 * time.Millisecond // for which a reader waits for superdaemons
	fresh     = 900 * time.Millisecond // a status that is not older is good enough
	watchTick = time.Second            // between two statuses while a client watches
	maxLinks  = 500                    // superdaemons
	maxRecent = 200                    // events that are kept at least
)

// Observer hears what happens. Its methods must not block.
type Observer interface {
	// Watched reports whether a client watches. If not, Changed is not called.
	Watched() bool
	// Changed hears of a superdaemon whose view has changed.
	Changed(View)
	// Forgotten hears that a superdaemon is not looked for any more.
	Forgotten(control string)
	// Happened hears of an event.
	Happened(Event)
}

// Config is what a Collector needs.
type Config struct {
	// Patterns are paths of control sockets, or globs of them (path.Match).
	Patterns []string
	// Forget is the time after which a superdaemon that was found by a glob is forgotten, if
	// neither it nor its socket's file is there.
	Forget time.Duration
	// Rescan is how often globs are expanded even if no directory has changed.
	Rescan time.Duration
	// Log writes a line. It may be called from several goroutines.
	Log func(format string, args ...any)
	// Observer hears what happens.
	Observer Observer
}

// Collector keeps in touch with superdaemons.
type Collector struct {
	Config
	began   time.Time
	scanned chan struct{} // closed when the patterns were expanded for the first time

	mu     sync.Mutex // guards what follows
	links  map[string]*link
	recent []Event // the last ones, of all superdaemons
	seq    uint64
	found  []Found
	full   bool // it was logged that there are too many
}

// Found is what a pattern matches.
type Found struct {
	Pattern string `json:"pattern"`
	Count   int    `json:"count"`
}

// New makes a Collector. Run starts it.
func New(c Config) *Collector {
	return &Collector{Config: c, began: time.Now(), scanned: make(chan struct{}), links: map[string]*link{}}
}

// Watched reports whether a client watches.
func (c *Collector) Watched() bool { return c.Observer != nil && c.Observer.Watched() }

// Run blocks until ctx ends.
func (c *Collector) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	start := func(l *link) {
		watching, end := context.WithCancel(ctx)
		l.end = end
		running.Go(func() { defer end(); l.run(watching) })
	}
	changes := newChanges(c.Patterns, c.Log)
	defer changes.close()
	ticker := time.NewTicker(watchTick)
	defer ticker.Stop()
	var last time.Time
	for ctx.Err() == nil {
		if changes.take() || time.Since(last) >= c.Rescan {
			first := last.IsZero()
			last = time.Now()
			c.scan(start)
			if first {
				close(c.scanned)
			}
			changes.follow()
		}
		select {
		case <-ctx.Done():
			return
		case <-changes.seen:
			c.nudge()
		case <-ticker.C:
			if c.Watched() {
				c.want()
			}
		}
	}
}

// scan expands the patterns, starts the links of new superdaemons, and forgets those that have
// been gone for long.
func (c *Collector) scan(start func(*link)) {
	paths, found := expand(c.Patterns)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told(found)
	c.found = found
	for path, named := range paths {
		if c.links[path] != nil {
			continue
		}
		if len(c.links) >= maxLinks {
			if !c.full {
				c.full = true
				c.Log("there are more than %d control sockets: the others are not looked at", maxLinks)
			}
			break
		}
		l := newLink(c, path, named)
		c.links[path] = l
		start(l)
	}
	for path, l := range c.links {
		if !l.named && l.gone() > c.Forget {
			delete(c.links, path)
			l.end()
			c.Log("%s is gone for %v, and forgotten", l.name(), c.Forget)
			if c.Observer != nil {
				c.Observer.Forgotten(path)
			}
		}
	}
}

// told logs once that a pattern matches nothing, and again when it matches something.
func (c *Collector) told(found []Found) {
	for i, f := range found {
		before := -1
		if i < len(c.found) {
			before = c.found[i].Count
		}
		switch {
		case f.Count == 0 && before != 0:
			c.Log("%q matches no control socket: waiting for one", f.Pattern)
		case f.Count > 0 && before == 0:
			c.Log("%q matches %d now", f.Pattern, f.Count)
		}
	}
}

// nudge makes all links that are not connected try again.
func (c *Collector) nudge() {
	for _, l := range c.all() {
		set(l.nudge)
	}
}

// want asks all links for a status, and does not wait.
func (c *Collector) want() (waits []<-chan struct{}, of []*link) {
	for _, l := range c.all() {
		if wait := l.wanted(fresh); wait != nil {
			waits, of = append(waits, wait), append(of, l)
		}
	}
	return waits, of
}

// all returns the links in the order of their paths.
func (c *Collector) all() []*link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.links), func(a, b *link) int {
		if a.path < b.path {
			return -1
		}
		return 1
	})
}

// Refresh blocks until all that is known is less than a second old, for half a second at most.
// A superdaemon that does not answer in that time is not waited for again until it answers.
func (c *Collector) Refresh(ctx context.Context) {
	timer := time.NewTimer(askTime)
	defer timer.Stop()
	select {
	case <-c.scanned:
	case <-ctx.Done():
		return
	case <-timer.C:
		return
	}
	waits, of := c.want()
	over := false
	for i, wait := range waits {
		if over {
			select {
			case <-wait:
			default:
				of[i].isLate()
			}
			continue
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return
		case <-timer.C:
			over = true
			of[i].isLate()
		}
	}
}

// Views returns what is known of each superdaemon, in the order of the control sockets' paths.
func (c *Collector) Views() []View {
	links := c.all()
	views := make([]View, len(links))
	for i, l := range links {
		views[i] = l.look()
	}
	return views
}

// Knows reports whether a path is the control socket of a superdaemon that is looked for.
func (c *Collector) Knows(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.links[path] != nil
}

// Found returns what the patterns match; nil until they were expanded for the first time.
func (c *Collector) Found() []Found {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.found)
}

// Recent returns the last events after seq, the oldest first; for seq 0, maxRecent at most.
func (c *Collector) Recent(seq uint64) []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Event
	for _, e := range c.recent {
		if e.Seq > seq {
			all = append(all, e)
		}
	}
	if seq == 0 {
		all = all[max(0, len(all)-maxRecent):]
	}
	return all
}

// Ready reports whether the patterns were expanded, and each superdaemon that was found has
// answered or failed to.
func (c *Collector) Ready() bool {
	if c.Found() == nil {
		return false
	}
	return !slices.ContainsFunc(c.Views(), func(v View) bool { return !v.Asked })
}

// hear passes an event on, and keeps it.
func (c *Collector) hear(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	e.Seq = c.seq
	c.recent = append(c.recent, e)
	if len(c.recent) > 2*maxRecent {
		c.recent = slices.Clone(c.recent[maxRecent:])
	}
	if c.Watched() {
		c.Observer.Happened(e)
	}
}

// signature differs for two views if they differ in more than how old things are.
func signature(v View) string {
	v.Seen = Moment{}
	if v.Status != nil {
		s := *v.Status
		s.Uptime, s.Workers, s.Sockets, s.Traffic = 0, slices.Clone(s.Workers), slices.Clone(s.Sockets), slices.Clone(s.Traffic)
		for i := range s.Workers {
			s.Workers[i].Age, s.Workers[i].NextTry = 0, nil
		}
		for i := range s.Sockets {
			s.Sockets[i].WaitingFor = float64(int(s.Sockets[i].WaitingFor))
		}
		for i := range s.Traffic {
			s.Traffic[i].SecondsLeft = nil
		}
		v.Status = &s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	sum := sha256.Sum256(text)
	return string(sum[:])
}
