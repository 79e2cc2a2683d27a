package launch

import (
	"os"
	"slices"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/proc"
)

// Environ is a list of NAME=VALUE in which no name stands twice. Its methods leave it
// as it is.
type Environ []string

// Unique is a copy of pairs in which the last of each name is left, which is
// the one that counts.
func Unique(pairs []string) Environ {
	seen := make(map[string]bool, len(pairs))
	var e Environ
	for _, pair := range slices.Backward(pairs) {
		if name := nameOf(pair); !seen[name] {
			seen[name] = true
			e = append(e, pair)
		}
	}
	slices.Reverse(e)
	return e
}

// With is a copy in which the pairs have replaced what was of their name.
func (e Environ) With(pairs ...string) Environ {
	replaced := make(map[string]bool, len(pairs))
	for _, pair := range pairs {
		replaced[nameOf(pair)] = true
	}
	return append(e.Without(func(name string) bool { return replaced[name] }), pairs...)
}

// Without is a copy from which the variables are gone that match.
func (e Environ) Without(match func(name string) bool) Environ {
	return slices.DeleteFunc(slices.Clone(e), func(pair string) bool { return match(nameOf(pair)) })
}

// Get is the value of a variable, "" if there is none of that name.
func (e Environ) Get(name string) string {
	for _, pair := range e {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// For is the environment in which a user runs what is run for it, as login(1) has
// it. A user that has only a number has nothing of ours.
func (e Environ) For(c *proc.Credential) Environ {
	switch {
	case c == nil || c.Name == "" && c.UID == os.Geteuid():
		return e
	case c.Name == "":
		return e.With("HOME=/").Without(func(name string) bool { return name == "USER" || name == "LOGNAME" })
	}
	return e.With("HOME="+c.Home, "USER="+c.Name, "LOGNAME="+c.Name)
}

func nameOf(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	return name
}
