package probe

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/probe/wire"
)

// Probe is a question that a worker has to answer.
type Probe struct {
	Text   string // as it was given
	Socket int    // the place of the socket that is connected to; -1: none, as for exec:

	kind    wire.Kind // "": tcp
	host    string    // of the URL, if that is an address with a port; "": localhost
	path    string    // of http and https
	command string    // of exec
	private bool      // workers have TCP sockets of their own
}

// maxCommand bounds an exec: command, in bytes. execve(2) takes 128 KiB (MAX_ARG_STRLEN).
const maxCommand = 100 << 10

// forms are what a probe may begin with.
const forms = "http://NAME/path, https://NAME/path, tcp://NAME or exec:COMMAND"

// Parse reads probes: http://NAME/path, https://NAME/path, tcp://NAME and exec:COMMAND.
// NAME is the label of one of the sockets, or its name in SERVER_STARTER_PORT; one with
// port 0 has only a label. The sockets need not be bound: only their names, their labels
// and the kinds of their addresses count. private tells that workers have TCP sockets of
// their own, as with blue-green. Without it, and on unix sockets and UDP, only exec: can
// be sure which worker it asks: the others are refused. The error names every fault,
// a line each.
func Parse(urls []string, sockets []fdenv.Socket, private bool) ([]Probe, error) {
	var probes []Probe
	var faults []error
	given := map[string]bool{}
	for _, text := range urls {
		p, err := parse(text, sockets, private)
		if err == nil && given[text] {
			err = errors.New("it is given twice")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("probe %.*q: %w", maxText, text, err))
			continue
		}
		given[text] = true
		probes = append(probes, p)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return probes, nil
}

func parse(text string, sockets []fdenv.Socket, private bool) (p Probe, err error) {
	p = Probe{Text: text, Socket: -1, private: private}
	if command, ok := strings.CutPrefix(text, "exec:"); ok {
		p.kind, p.command = wire.Exec, command
		return p, checkCommand(command)
	}
	scheme, rest, ok := strings.Cut(text, "://")
	name, path, hasPath := cutPath(rest)
	switch {
	case !ok:
		return p, fmt.Errorf("it is none of %s", forms)
	case scheme == "http" || scheme == "https":
		p.kind = wire.Kind(scheme)
		if p.path, err = checkPath(path); err != nil {
			return p, err
		}
	case scheme != "tcp":
		return p, fmt.Errorf("scheme %q is not known; a probe is %s", scheme, forms)
	case hasPath:
		return p, errors.New("tcp:// asks for a connection only, and takes no path")
	}
	if p.Socket, err = find(name, sockets); err != nil {
		return p, err
	}
	if host, port, err := net.SplitHostPort(name); err == nil && host != "" && port != "" {
		p.host = name
	}
	return p, reaches(sockets[p.Socket], private)
}

// cutPath cuts what follows a scheme into the name of a socket and what is asked for. If rest
// begins with a slash all of it is the name: the path of a unix socket.
func cutPath(rest string) (name, path string, hasPath bool) {
	if i := strings.IndexAny(rest, "/?#"); i > 0 {
		return rest[:i], rest[i:], true
	}
	return rest, "", false
}

func checkCommand(command string) error {
	switch {
	case strings.TrimSpace(command) == "":
		return errors.New("the command is empty")
	case strings.Contains(command, "\x00"):
		return errors.New("a command holds no NUL")
	case len(command) > maxCommand:
		return fmt.Errorf("a command of %d bytes is too long; %d fit", len(command), maxCommand)
	}
	return nil
}

// checkPath returns the path and the query as they are asked for.
func checkPath(path string) (string, error) {
	if strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", errors.New("the path holds a blank or a control character: write it as %20 and the like")
	}
	if strings.Contains(path, "#") {
		return "", errors.New("a part behind # is not sent to a server: leave it out, or write %23")
	}
	u, err := url.Parse("http://host" + path)
	if err != nil {
		var fault *url.Error
		if errors.As(err, &fault) {
			err = fault.Err
		}
		return "", fmt.Errorf("the path: %w", err)
	}
	return u.RequestURI(), nil
}

// find is the place of the socket of that name or label. A TCP socket comes before one of
// UDP with the same name.
func find(name string, sockets []fdenv.Socket) (int, error) {
	var labelled, named, others []int
	var known []string
	for i, s := range sockets {
		switch {
		case s.Label != "" && s.Label == name:
			labelled = append(labelled, i)
		case s.Name != "" && s.Name == name && isTCP(s):
			named = append(named, i)
		case s.Name != "" && s.Name == name:
			others = append(others, i)
		}
		if s.Label != "" {
			known = append(known, s.Label)
		} else if s.Name != "" {
			known = append(known, s.Name)
		}
	}
	for _, found := range [][]int{labelled, named, others} {
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return -1, fmt.Errorf("%d sockets are called %q: give each a label of its own", len(found), name)
		}
	}
	switch {
	case name == "":
		return -1, errors.New("the name of the socket is missing")
	case len(known) == 0:
		return -1, fmt.Errorf("no socket is called %q; there is none with a name", name)
	}
	return -1, fmt.Errorf("no socket is called %q; there %s", name, thereAre(known))
}

func thereAre(names []string) string {
	if len(names) == 1 {
		return "is only " + names[0]
	}
	return "are " + strings.Join(names, ", ")
}

func isTCP(s fdenv.Socket) bool {
	_, ok := s.Addr.(*net.TCPAddr)
	return ok
}

// reaches says why a connection to the socket may come to another worker.
func reaches(s fdenv.Socket, private bool) error {
	const sure = "only exec: can be sure which worker it asks"
	switch {
	case s.Addr == nil:
		return fmt.Errorf("it is not known what socket that is: %s", sure)
	case !isTCP(s):
		return fmt.Errorf("all workers share a %s socket: %s", s.Addr.Network(), sure)
	case !private:
		return fmt.Errorf("without blue-green all workers share a socket: %s", sure)
	}
	return nil
}
