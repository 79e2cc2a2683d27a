package launch

import (
	"os"
	"slices"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/proc"
)

// Environ is a list of NAME=VALUE in which no name stands twice. Its methods do not
// change it.
type Environ []string

// Unique is a copy of pairs that has only the last one of each name, which is the one
// that counts.
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

// With is a copy in which pairs have replaced the variables of the same names.
func (e Environ) With(pairs ...string) Environ {
	replaced := make(map[string]bool, len(pairs))
	for _, pair := range pairs {
		replaced[nameOf(pair)] = true
	}
	return append(e.Without(func(name string) bool { return replaced[name] }), pairs...)
}

// Without is a copy that lacks the variables that match.
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

// For is the environment for programs of another user: HOME, USER and LOGNAME are that
// user's, as with login(1). A user that has only a number gets HOME=/, and neither USER nor
// LOGNAME.
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
