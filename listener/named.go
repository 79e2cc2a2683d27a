package listener

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

const (
	labelsEnvVarName = "SERVER_STARTER_LABELS"

	// firstPassed is the first descriptor that LISTEN_FDS counts (sd_listen_fds(3)).
	firstPassed = 3

	// maxPassed is the most descriptors that a process may have (fs.nr_open, by default).
	maxPassed = 1 << 20
)

// ListenNamed returns a listener on every inherited stream socket that has the label; the
// caller closes them. start_server --port=web@8080 gives the label "web", and tells it in
// SERVER_STARTER_LABELS, such as "web=3;admin=4". Under a service manager, or with
// --export=systemd, the label is a name in LISTEN_FDNAMES (sd_listen_fds_with_names(3)),
// which counts only if LISTEN_PID is this process. If both variables are set, the label is
// looked for in SERVER_STARTER_LABELS first. A label of start_server is unique; a name of
// systemd may stand for several sockets. ListenNamed does not block.
//
// The error wraps [ErrNoListeningTarget] if neither variable is set for this process: a
// program that runs alone binds then. Any other error says which variable is malformed or
// which descriptor is bad, or that no stream socket has the label. If no socket at all has
// it, the error lists the labels. After an error nothing is left open.
func ListenNamed(label string) ([]net.Listener, error) {
	return takeLabelled(label, stream, take)
}

// ListenPacketsNamed returns a connection on every inherited datagram socket that has the
// label, as [ListenNamed] does for stream sockets, and with the same errors.
func ListenPacketsNamed(label string) ([]net.PacketConn, error) {
	return takeLabelled(label, datagram, takePacket)
}

// takeLabelled takes the sockets of kind k that have the label, all of them or none.
func takeLabelled[T interface{ Close() error }](label string, k kind, take func(Listener) (T, error)) ([]T, error) {
	taken, err := func() ([]T, error) {
		ports, err := findLabel(label)
		if err != nil {
			return nil, err
		}
		found, err := ofKind(ports, k)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s is not a %s socket", List(ports), k)
		}
		return takeEach(found, take)
	}()
	if err != nil {
		return nil, fmt.Errorf("listen by label %q: %w", label, err)
	}
	return taken, nil
}

// labelled is an inherited socket named by a label.
type labelled struct {
	label string
	fd    uintptr
}

func (l labelled) Fd() uintptr                   { return l.fd }
func (l labelled) Listen() (net.Listener, error) { return take(l) }
func (l labelled) String() string                { return fmt.Sprintf("%s=%d", l.label, l.fd) }

// findLabel returns the sockets that have the label, at least one.
func findLabel(label string) ([]Listener, error) {
	ours, err := parseLabels(os.Getenv(labelsEnvVarName))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", labelsEnvVarName, err)
	}
	passed, err := parsePassed()
	if err != nil {
		return nil, err
	}
	if len(ours)+len(passed) == 0 {
		return nil, ErrNoListeningTarget
	}
	for _, list := range [][]labelled{ours, passed} {
		var found []Listener
		for _, l := range list {
			if l.label == label {
				found = append(found, l)
			}
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	var labels []string
	for _, l := range append(ours, passed...) {
		if label := strconv.Quote(l.label); !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
	return nil, fmt.Errorf("not among the labels %s", strings.Join(labels, ", "))
}

// parseLabels reads LABEL=FD, joined by semicolons.
func parseLabels(value string) ([]labelled, error) {
	if value == "" {
		return nil, nil
	}
	var found []labelled
	for entry := range strings.SplitSeq(value, ";") {
		label, number, ok := strings.Cut(entry, "=")
		if !ok || label == "" {
			return nil, fmt.Errorf("entry %q: it is not LABEL=FD", entry)
		}
		fd, err := parseDescriptor(number)
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", entry, err)
		}
		found = append(found, labelled{label, fd})
	}
	return found, nil
}

// parsePassed reads the variables of sd_listen_fds_with_names(3), if they are for this
// process and name the sockets.
func parsePassed() ([]labelled, error) {
	names := os.Getenv("LISTEN_FDNAMES")
	if names == "" || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 || n > maxPassed {
		return nil, fmt.Errorf("parse LISTEN_FDS: %q is no number of sockets", os.Getenv("LISTEN_FDS"))
	}
	var found []labelled
	for name := range strings.SplitSeq(names, ":") {
		found = append(found, labelled{name, uintptr(firstPassed + len(found))})
	}
	if len(found) != n {
		return nil, fmt.Errorf("parse LISTEN_FDNAMES: %q names %d sockets, and LISTEN_FDS is %d", names, len(found), n)
	}
	return found, nil
}

// parseDescriptor accepts 31 bits: a descriptor is a C int.
func parseDescriptor(number string) (uintptr, error) {
	fd, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("bad descriptor: %w", err)
	}
	return uintptr(fd), nil
}
