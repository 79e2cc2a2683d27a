package collect

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxDirectories is how many directories are watched. Changes in others wait for the rescan.
const maxDirectories = 1000

// isGlob tells whether a pattern is more than a path.
func isGlob(pattern string) bool { return strings.ContainsAny(pattern, `*?[`) }

// expand finds the control sockets of patterns. The value is true for a socket that a pattern names
// by its path: such a one is listed even if it does not exist.
func expand(patterns []string) (paths map[string]bool, found []Found) {
	paths, found = map[string]bool{}, make([]Found, 0, len(patterns))
	for _, pattern := range patterns {
		if !isGlob(pattern) {
			paths[pattern] = true
			found = append(found, Found{pattern, 1})
			continue
		}
		matches, _ := filepath.Glob(pattern) // the options were checked
		matches = slices.DeleteFunc(matches, func(path string) bool {
			info, err := os.Lstat(path)
			return err != nil || info.Mode().Type() != fs.ModeSocket
		})
		for _, path := range matches {
			if !paths[path] { // a path may name it, too
				paths[path] = false
			}
		}
		found = append(found, Found{pattern, len(matches)})
	}
	return paths, found
}

// changes are the changes in the directories in which the patterns look.
type changes struct {
	patterns []string
	watcher  *fsnotify.Watcher // nil: it could not be made
	log      func(format string, args ...any)
	seen     chan struct{}
	some     atomic.Bool
	done     chan struct{}
}

// settleTime is how long changes are gathered: a socket is bound and then renamed, and other files
// may change all the time.
const settleTime = 100 * time.Millisecond

func newChanges(patterns []string, log func(format string, args ...any)) *changes {
	c := &changes{patterns: patterns, log: log, seen: make(chan struct{}, 1), done: make(chan struct{})}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log("directories cannot be watched, and are looked at now and then: %v", err)
		close(c.done)
		return c
	}
	c.watcher = watcher
	go c.watch()
	return c
}

func (c *changes) watch() {
	defer close(c.done)
	var settled <-chan time.Time
	for {
		select {
		case e, ok := <-c.watcher.Events:
			if !ok {
				return
			}
			if settled == nil && e.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0 && c.concerns(e.Name) {
				settled = time.After(settleTime)
			}
		case _, ok := <-c.watcher.Errors: // some were missed
			if !ok {
				return
			}
			if settled == nil {
				settled = time.After(settleTime)
			}
		case <-settled:
			settled = nil
			c.some.Store(true)
			set(c.seen)
		}
	}
}

// concerns reports whether a pattern matches a path, or a path below it.
func (c *changes) concerns(path string) bool {
	for _, pattern := range c.patterns {
		for ; len(pattern) > 1; pattern = filepath.Dir(pattern) {
			if is, _ := filepath.Match(pattern, path); is {
				return true
			}
		}
	}
	return false
}

// take reports whether anything has changed since its last call.
func (c *changes) take() bool { return c.some.Swap(false) }

// follow watches the directories in which the patterns look by now. The kernel itself stops
// watching those that have gone.
func (c *changes) follow() {
	if c.watcher == nil {
		return
	}
	there := map[string]bool{}
	for _, path := range c.watcher.WatchList() {
		there[path] = true
	}
	for _, pattern := range c.patterns {
		for dir := filepath.Dir(pattern); ; dir = filepath.Dir(dir) {
			matches := []string{dir}
			if isGlob(dir) {
				matches, _ = filepath.Glob(dir)
			}
			for _, match := range matches {
				if info, err := os.Stat(match); err != nil || !info.IsDir() || there[match] {
					continue
				}
				if len(there) >= maxDirectories {
					return
				}
				there[match] = c.watcher.Add(match) == nil
			}
			if !isGlob(dir) && len(matches) > 0 && there[dir] || dir == filepath.Dir(dir) {
				break
			}
		}
	}
}

func (c *changes) close() {
	if c.watcher != nil {
		_ = c.watcher.Close()
	}
	<-c.done
}
