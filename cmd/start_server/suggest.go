package main

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"

	"github.com/jessevdk/go-flags"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// clientCommands are the options that people may write as commands of other tools, as in
// "systemctl restart".
var clientCommands = []string{"restart", "stop", "status"}

// notAnOption returns an error if word, which is where the program should stand, is a client
// command without its dashes. If there is a program of that name it returns nil.
func notAnOption(word string) error {
	if !slices.Contains(clientCommands, word) {
		return nil
	}
	if _, err := exec.LookPath(word); err == nil || errors.Is(err, exec.ErrDot) {
		return nil
	}
	return fmt.Errorf("%s: there is no such program; did you mean --%s? See start_server --help", text.Quoted(word), word)
}

// noSuch says that there is no option of that name, and which one is most like it. dashes are
// put before the latter.
func noSuch(parser *flags.Parser, name, dashes string) error {
	if like := closest(parser, name); like != "" {
		return fmt.Errorf("no such option (did you mean %s%s?)", dashes, like)
	}
	return errors.New("no such option")
}

// closest returns the option that is most like name; "" if none is like it.
func closest(parser *flags.Parser, name string) string {
	best, least := "", 3 // at a distance of 3 it is another word
	if len(name) < 5 {
		least = 2
	}
	for _, group := range parser.Groups() {
		for _, option := range group.Options() {
			if len(name)-len(option.LongName) >= least {
				continue // distance would be slow: a name may be very long
			}
			if d := distance(name, option.LongName); option.LongName != "" && d < least {
				best, least = option.LongName, d
			}
		}
	}
	return best
}

// distance is how many letters have to be inserted, removed, changed, or swapped with the next
// one, to make b from a.
func distance(a, b string) int {
	var before []int // the row above last
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
