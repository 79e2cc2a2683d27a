// Package socket turns port and path specifications into bound sockets, and
// holds them for as long as the superdaemon lives.
package socket

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// Spec is one socket asked for.
type Spec struct {
	Text  string     // as given, without the options, for messages
	Label string     // "": none
	Host  string     // as given, without brackets; "": 0.0.0.0
	IP    netip.Addr // invalid for a host name
	Port  uint16
	UDP   bool
	Path  string // of a unix stream socket; the host, port and so on are empty then
	Pin   int    // the worker's descriptor; -1: the next free one
	// Taken tells that the socket exists already, at descriptor Source of our own process.
	// Then only Text, Label, Pin and Tuning are set.
	Taken  bool
	Source int
	Tuning

	uid, gid int // of the path's owner and group, plus 1, set by Check; 0: ours
}

// maxFD bounds a pinned descriptor. Bind checks the real limit, RLIMIT_NOFILE.
const maxFD = 1<<20 - 1

// unspeakable are the characters that a name in SERVER_STARTER_PORT cannot hold.
const unspeakable = ";\n\x00"

// form is what a port looks like.
const form = "[LABEL@][HOST:][u]PORT[=FD][,OPTION...]"

// Parse parses port specifications, each a list, joined by commas, of
//
//	[LABEL@][HOST:][u]PORT[=FD][,option...]
//	[LABEL@]fd://N[=FD][,option...]
//
// and paths, each [LABEL@]PATH[,option...]. An option in a list belongs to the port before
// it. A comma in a path begins an option only if that is known, and an @ ends a label only
// if the rest begins with / or ./: otherwise both belong to the path. The result has the
// ports, then the paths, then inherited, each in the order given. The error names every
// fault.
func Parse(ports, paths []string, inherited ...Spec) ([]Spec, error) {
	var specs []Spec
	var faults []error
	add := func(s Spec, found ...error) {
		if err := errors.Join(found...); err != nil {
			faults = append(faults, err)
			return
		}
		specs = append(specs, s)
	}
	for _, list := range ports {
		items := strings.Split(list, ",")
		for i := 0; i < len(items); {
			text := strings.TrimSpace(items[i])
			if isOption(text) {
				faults = append(faults, fmt.Errorf("option %q: there is no port before it", text))
				i++
				continue
			}
			s, err := parsePort(text)
			if err != nil && i > 0 && text != "" && text[0] >= 'a' && text[0] <= 'z' { // it may be a mistyped option
				err = fmt.Errorf("%w; the options are %s", err, optionWords(^onPath))
			}
			first := i + 1
			for i++; i < len(items) && isOption(items[i]); i++ {
			}
			add(s, append([]error{err}, s.tune("port", err == nil, items[first:i])...)...)
		}
	}
	for _, path := range paths {
		path, options := cutOptions(path)
		s, err := parsePath(path)
		if item := mistyped(path, len(options) > 0); item != "" {
			err = fmt.Errorf("path %q: option %q is not one of %s", path, item, optionWords(onPath))
		}
		add(s, append([]error{err}, s.tune("path", err == nil, options)...)...)
	}
	faults = append(faults, sameLabels(specs)...)
	specs = append(specs, inherited...)
	return specs, errors.Join(append(faults, conflicts(specs)...)...)
}

func parsePort(text string) (Spec, error) {
	s := Spec{Text: text, Pin: -1}
	fault := func(format string, args ...any) (Spec, error) {
		return s, fmt.Errorf("port %q: %s", s.Text, fmt.Sprintf(format, args...))
	}
	if strings.ContainsAny(text, unspeakable) {
		return fault("a semicolon, newline or NUL cannot be told to the worker")
	}
	// After a bracket an @ belongs to the zone of an IPv6 address.
	if label, rest, ok := strings.Cut(text, "@"); ok && !strings.HasPrefix(text, "[") {
		if err := checkLabel(label); err != nil {
			return fault("%v", err)
		}
		s.Label, text = label, rest
	}
	rest, fd, pinned := strings.Cut(text, "=")
	if pinned {
		n, ok := descriptor(fd)
		if !ok {
			return fault("descriptor %q is not a number from 0 to %d", strings.TrimSpace(fd), maxFD)
		}
		s.Pin = n
	}
	rest = strings.TrimSpace(rest)
	if source, ok := strings.CutPrefix(rest, "fd://"); ok {
		if s.Source, s.Taken = descriptor(source); !s.Taken {
			return fault("descriptor %q is not a number from 0 to %d; the form is fd://N[=FD]", source, maxFD)
		}
		return s, nil
	}
	host, port, err := splitHost(rest)
	if err != nil {
		return fault("%v", err)
	}
	if port, s.UDP = strings.CutPrefix(port, "u"); s.UDP {
		port = strings.TrimSpace(port)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fault("%q is not a port number from 0 to 65535; the form is %s", port, form)
	}
	s.Host, s.Port = host, uint16(n)
	if host == "" {
		s.IP = netip.IPv4Unspecified()
	} else if addr, err := netip.ParseAddr(host); err == nil {
		s.IP = addr
	} else if strings.ContainsAny(host, " \t;:/@") || looksNumeric(host) {
		return fault("%q is neither an address nor a host name", host)
	}
	return s, nil
}

// descriptor parses a descriptor.
func descriptor(text string) (n int, ok bool) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	return n, err == nil && n >= 0 && n <= maxFD
}

// splitHost splits [HOST:]PORT.
func splitHost(text string) (host, port string, err error) {
	if strings.HasPrefix(text, "[") {
		host, port, ok := strings.Cut(text[1:], "]")
		if _, err := netip.ParseAddr(strings.TrimSpace(host)); !ok || err != nil {
			return "", "", fmt.Errorf("what stands in brackets is not an IPv6 address")
		}
		port, ok = strings.CutPrefix(strings.TrimSpace(port), ":")
		if !ok {
			return "", "", errors.New("the port is missing behind the address")
		}
		return strings.TrimSpace(host), strings.TrimSpace(port), nil
	}
	i := strings.LastIndex(text, ":")
	if i < 0 {
		return "", text, nil
	}
	host, port = strings.TrimSpace(text[:i]), strings.TrimSpace(text[i+1:])
	if host == "" {
		return "", "", errors.New("the host before the colon is empty")
	}
	if strings.Contains(host, ":") {
		return "", "", errors.New("an IPv6 address stands in brackets, as in [::1]:8080")
	}
	return host, port, nil
}

// looksNumeric tells whether a host is a mistyped IPv4 address.
func looksNumeric(host string) bool {
	return strings.Trim(host, "0123456789.") == ""
}

func parsePath(text string) (Spec, error) {
	s := Spec{Text: text, Path: text, Pin: -1}
	label, rest, ok := strings.Cut(text, "@")
	if ok && (strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "./")) && !strings.Contains(label, "/") {
		if err := checkLabel(label); err != nil {
			return s, fmt.Errorf("path %q: %w", text, err)
		}
		s.Label, s.Path = label, rest
	}
	switch {
	case s.Path == "":
		return s, errors.New("path: it is empty")
	case strings.ContainsAny(s.Path, unspeakable):
		return s, fmt.Errorf("path %q: a semicolon, newline or NUL cannot be told to the worker", text)
	}
	if err := fd.CheckPath(s.Path); err != nil {
		return s, fmt.Errorf("path %q: %w", text, err)
	}
	return s, nil
}

// conflicts finds descriptors and addresses that are asked for twice. An address is the
// same with another label or other options.
func conflicts(specs []Spec) []error {
	var faults []error
	sockets := map[Spec]bool{}
	fds := map[int]string{}
	for _, s := range specs {
		if s.Pin >= 0 {
			if other, taken := fds[s.Pin]; taken {
				faults = append(faults, fmt.Errorf("port %q: descriptor %d is also asked for by %q", s.Text, s.Pin, other))
			}
			fds[s.Pin] = s.Text
		}
		if !s.Taken && s.Path == "" && s.Port == 0 {
			continue // any number of free ports
		}
		key := s
		key.Text, key.Label, key.Pin, key.Tuning = "", "", 0, Tuning{Family: s.Family}
		if s.IP.IsValid() {
			key.Family = 0 // the address says which
		}
		if sockets[key] {
			faults = append(faults, fmt.Errorf("%s %q: it is asked for twice", s.kind(), s.Text))
		}
		sockets[key] = true
	}
	return faults
}

// sameLabels finds labels that are given twice. Inherited sockets may share a name, as
// those of systemd do, and are not checked.
func sameLabels(specs []Spec) []error {
	var faults []error
	labels := map[string]string{}
	for _, s := range specs {
		if other, taken := labels[s.Label]; taken && s.Label != "" {
			faults = append(faults, fmt.Errorf("%s %q: label %q is also given to %q", s.kind(), s.Text, s.Label, other))
		}
		labels[s.Label] = s.Text
	}
	return faults
}

func (s *Spec) kind() string {
	switch {
	case s.Path != "":
		return "path"
	case s.Taken:
		return "socket"
	}
	return "port"
}

// number gives each spec the worker's descriptor: the pinned one, or the lowest free one
// from 3.
func number(specs []Spec) []int {
	var pinned []int
	for _, s := range specs {
		pinned = append(pinned, s.Pin)
	}
	fds, next := slices.Clone(pinned), 3
	slices.Sort(pinned)
	for i, fd := range fds {
		if fd >= 0 {
			continue
		}
		for {
			if _, taken := slices.BinarySearch(pinned, next); !taken {
				break
			}
			next++
		}
		fds[i] = next
		next++
	}
	return fds
}
