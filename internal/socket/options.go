package socket

import (
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Tuning is the options of a specification. The zero Tuning has none.
type Tuning struct {
	Backlog int // for listen(2), in place of Options.Backlog; 0: not given
	// Reuseport sets SO_REUSEPORT, and gives each slot a socket of its own.
	Reuseport   bool
	Sided       bool // each slot has two sockets, see Sides. It goes with Reuseport, on TCP ports
	DualStack   bool // an IPv6 socket takes IPv4, too
	Family      int  // 4 or 6: which of the host name's addresses; 0: 4
	NoDelay     bool // TCP_NODELAY, which accepted sockets inherit
	DeferAccept bool // TCP_DEFER_ACCEPT: accept(2) waits for a connection's first data
	FastOpen    int  // the length of TCP_FASTOPEN's queue; 0: none
	Nonblock    bool // O_NONBLOCK, set once when the socket is bound or taken

	Mode         fs.FileMode // permissions of a path, if HasMode
	HasMode      bool        // false: 0777
	Owner, Group string      // of a path, by name or number; "": ours
}

// place is a set of the kinds of sockets that an option can be given to.
type place int

const (
	onTCP place = 1 << iota
	onUDP
	onIPv4
	onIPv6
	onName // a host name, of IPv4 or IPv6
	onPath
	onTaken

	anywhere = onTCP | onUDP | onPath | onTaken
)

// optionForm is an option that may follow a comma.
type optionForm struct {
	word   string
	value  string // the value's name in messages; "": it takes none
	linux  bool   // Linux only
	places place
	where  string // places in words
	// set stores the value, or says what it should be.
	set func(t *Tuning, value string) (should string)
}

// options are all options. TCP_DEFER_ACCEPT and TCP_FASTOPEN are for Linux: other systems
// lack them or set them in another way.
var options = []optionForm{
	{"backlog", "N", false, onTCP | onPath | onTaken, "TCP ports, paths and fd://",
		func(t *Tuning, v string) string { return number32(&t.Backlog, v) }},
	{"reuseport", "", false, onTCP | onUDP, "ports",
		func(t *Tuning, _ string) string { t.Reuseport = true; return "" }},
	{"v6only", "0|1", false, onIPv6, "IPv6 addresses",
		func(t *Tuning, v string) string {
			t.DualStack = v == "0"
			if v != "0" && v != "1" {
				return "0 or 1"
			}
			return ""
		}},
	{"ipv4", "", false, onIPv4 | onName, "IPv4 addresses and host names",
		func(t *Tuning, _ string) string { return family(t, 4) }},
	{"ipv6", "", false, onIPv6 | onName, "IPv6 addresses and host names",
		func(t *Tuning, _ string) string { return family(t, 6) }},
	{"nodelay", "", false, onTCP | onTaken, "TCP ports and fd://",
		func(t *Tuning, _ string) string { t.NoDelay = true; return "" }},
	{"defer-accept", "", true, onTCP | onTaken, "TCP ports and fd://",
		func(t *Tuning, _ string) string { t.DeferAccept = true; return "" }},
	{"fastopen", "N", true, onTCP | onTaken, "TCP ports and fd://",
		func(t *Tuning, v string) string { return number32(&t.FastOpen, v) }},
	{"mode", "OCTAL", false, onPath, "paths",
		func(t *Tuning, v string) string {
			n, err := strconv.ParseUint(v, 8, 32)
			if err != nil || n > 0o777 {
				return "octal permissions from 0 to 777"
			}
			t.Mode, t.HasMode = fs.FileMode(n), true
			return ""
		}},
	{"owner", "USER", false, onPath, "paths",
		func(t *Tuning, v string) string { t.Owner = v; return "" }},
	{"group", "GROUP", false, onPath, "paths",
		func(t *Tuning, v string) string { t.Group = v; return "" }},
	{"nonblock", "", false, anywhere, "all",
		func(t *Tuning, _ string) string { t.Nonblock = true; return "" }},
}

func family(t *Tuning, version int) (should string) {
	if t.Family != 0 {
		return "for a port that is to be of the other family"
	}
	t.Family = version
	return ""
}

func number32(n *int, value string) (should string) {
	v, err := strconv.ParseUint(value, 10, 31)
	if err != nil || v == 0 {
		return fmt.Sprintf("a number from 1 to %d", math.MaxInt32)
	}
	*n = int(v)
	return ""
}

// splitOption splits an item of a list. The index is its place in options; -1: it is no
// option.
func splitOption(item string) (index int, value string, valued bool) {
	word, value, valued := strings.Cut(item, "=")
	word = strings.TrimSpace(word)
	index = slices.IndexFunc(options, func(o optionForm) bool { return o.word == word })
	return index, strings.TrimSpace(value), valued
}

func isOption(item string) bool {
	index, _, _ := splitOption(item)
	return index >= 0
}

// optionWords lists the options for any of the places.
func optionWords(places place) string {
	var words []string
	for _, o := range options {
		if o.places&places != 0 {
			words = append(words, o.word)
		}
	}
	return strings.Join(words, ", ")
}

// cutOptions cuts the options off the end of a path.
func cutOptions(text string) (path string, items []string) {
	for {
		i := strings.LastIndexByte(text, ',')
		if i < 0 || !isOption(text[i+1:]) {
			slices.Reverse(items)
			return text, items
		}
		text, items = text[:i], append(items, text[i+1:])
	}
}

// mistyped is the text after the last comma of a path if it was meant as an option. It was if
// it has a value, or, which before says, if an option follows it.
func mistyped(path string, before bool) string {
	item := path[strings.LastIndexByte(path, ',')+1:]
	word, _, valued := strings.Cut(item, "=")
	letters := word != "" && strings.Trim(strings.ToLower(word), "abcdefghijklmnopqrstuvwxyz-") == ""
	if len(item) == len(path) || !letters || !valued && !before {
		return ""
	}
	return item
}

// tune stores the options in a specification. Its faults say what is wrong with each. The
// place of an option is checked only if the specification itself was understood. kind is
// port or path, for messages.
func (s *Spec) tune(kind string, understood bool, items []string) []error {
	var faults []error
	given := map[int]bool{}
	for _, item := range items {
		item = strings.TrimSpace(item)
		index, value, valued := splitOption(item)
		o := &options[index]
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("%s %q: option %q %s", kind, s.Text, item, fmt.Sprintf(format, args...)))
		}
		switch {
		case given[index]:
			fault("is given twice")
		case understood && o.places&s.place() == 0:
			fault("is for %s only", o.where)
		case o.linux && runtime.GOOS != "linux":
			fault("is not known to this system")
		case o.value == "" && valued:
			fault("takes no value")
		case o.value != "" && value == "":
			fault("needs a value, %s=%s", o.word, o.value)
		case strings.ContainsAny(value, unspeakable):
			fault("holds a semicolon, newline or NUL")
		default:
			if should := o.set(&s.Tuning, value); should != "" {
				fault("is not %s", should)
			}
		}
		given[index] = true
	}
	return faults
}

func (s *Spec) place() place {
	switch {
	case s.Path != "":
		return onPath
	case s.Taken:
		return onTaken
	}
	p := onTCP
	if s.UDP {
		p = onUDP
	}
	switch {
	case s.IP.Is6():
		p |= onIPv6
	case s.IP.IsValid():
		p |= onIPv4
	default:
		p |= onName
	}
	return p
}
