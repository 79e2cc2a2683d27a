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
)

// Spec is one socket asked for.
type Spec struct {
	Text string     // as given, for messages
	Host string     // as given, without the brackets; "" is 0.0.0.0
	IP   netip.Addr // invalid for a host name
	Port uint16
	UDP  bool
	Path string // of a unix stream socket; the fields above are empty then
	Pin  int    // the descriptor that the worker finds it at; -1: the next free one
}

// maxFD bounds a pinned descriptor. The real limit is the process's own, and
// checked when the sockets are bound.
const maxFD = 1<<20 - 1

// maxPath is what fits into sockaddr_un with its final NUL on every system.
const maxPath = 103

// unspeakable is what a name in SERVER_STARTER_PORT cannot hold.
const unspeakable = ";\n\x00"

// Parse parses port specifications, each a comma list of [HOST:][u]PORT[=FD],
// and paths. The result holds the ports first, each in the order given. The
// error names every fault there is.
func Parse(ports, paths []string) ([]Spec, error) {
	var specs []Spec
	var faults []error
	add := func(s Spec, err error) {
		if err != nil {
			faults = append(faults, err)
			return
		}
		specs = append(specs, s)
	}
	for _, list := range ports {
		for _, text := range strings.Split(list, ",") {
			add(parsePort(text))
		}
	}
	for _, path := range paths {
		add(parsePath(path))
	}
	return specs, errors.Join(append(faults, conflicts(specs)...)...)
}

func parsePort(text string) (Spec, error) {
	s := Spec{Text: strings.TrimSpace(text), Pin: -1}
	fault := func(format string, args ...any) (Spec, error) {
		return Spec{}, fmt.Errorf("port %q: %s", s.Text, fmt.Sprintf(format, args...))
	}
	if strings.ContainsAny(s.Text, unspeakable) {
		return fault("a semicolon, newline or NUL cannot be told to the worker")
	}
	rest, fd, pinned := strings.Cut(s.Text, "=")
	if pinned {
		n, err := strconv.Atoi(strings.TrimSpace(fd))
		if err != nil || n < 0 || n > maxFD {
			return fault("descriptor %q is not a number from 0 to %d", strings.TrimSpace(fd), maxFD)
		}
		s.Pin = n
	}
	host, port, err := splitHost(strings.TrimSpace(rest))
	if err != nil {
		return fault("%v", err)
	}
	if port, s.UDP = strings.CutPrefix(port, "u"); s.UDP {
		port = strings.TrimSpace(port)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fault("%q is not a port number from 0 to 65535; the form is [HOST:][u]PORT[=FD]", port)
	}
	s.Host, s.Port = host, uint16(n)
	if host == "" {
		s.IP = netip.IPv4Unspecified()
	} else if addr, err := netip.ParseAddr(host); err == nil {
		s.IP = addr
	} else if strings.ContainsAny(host, " \t;:/") || looksNumeric(host) {
		return fault("%q is neither an address nor a host name", host)
	}
	return s, nil
}

// splitHost takes the host, which may be empty, off [HOST:]PORT.
func splitHost(text string) (host, port string, err error) {
	if strings.HasPrefix(text, "[") {
		host, port, ok := strings.Cut(text[1:], "]")
		addr, err := netip.ParseAddr(strings.TrimSpace(host))
		if !ok || err != nil || !addr.Is6() {
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

// looksNumeric tells a mistyped IPv4 address from a host name.
func looksNumeric(host string) bool {
	return strings.Trim(host, "0123456789.") == ""
}

func parsePath(path string) (Spec, error) {
	switch {
	case path == "":
		return Spec{}, errors.New("path: it is empty")
	case strings.ContainsAny(path, unspeakable):
		return Spec{}, fmt.Errorf("path %q: a semicolon, newline or NUL cannot be told to the worker", path)
	case len(path) > maxPath:
		return Spec{}, fmt.Errorf("path %q: %d bytes are too long for a unix socket; %d fit", path, len(path), maxPath)
	}
	return Spec{Text: path, Path: path, Pin: -1}, nil
}

// conflicts finds what is asked for twice.
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
		key := s
		key.Text, key.Pin = "", 0
		if s.Path == "" && s.Port == 0 {
			continue // any number of free ports
		}
		if sockets[key] {
			faults = append(faults, fmt.Errorf("%s %q: it is asked for twice", s.kind(), s.Text))
		}
		sockets[key] = true
	}
	return faults
}

func (s Spec) kind() string {
	if s.Path != "" {
		return "path"
	}
	return "port"
}

// number gives each spec the descriptor at which the worker finds it: the
// pinned one, or the lowest from 3 that is still free.
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
