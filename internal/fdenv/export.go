package fdenv

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Export is a convention by which servers learn of inherited sockets.
type Export struct {
	Name string
	// prefixes are the names of its variables; one that ends with _ begins several names.
	// Workers do not inherit them: they would name sockets that workers do not get.
	prefixes []string
	check    func([]Socket) error
	environ  func([]Socket, Worker) []string
	// OwnPID is a variable that must hold the worker's own pid; "": none.
	OwnPID string
	// Nonblocking tells that servers need sockets that do not block, and get stuck with
	// others.
	Nonblocking bool
	// Unlinks tells that a server removes the path of a unix socket when it ends, if it
	// may. No client can connect to the next worker then.
	Unlinks bool
}

// systemd is sd_listen_fds(3) and sd_listen_fds_with_names(3).
var systemd = Export{
	Name:     "systemd",
	prefixes: []string{"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"},
	check:    inARow,
	environ: func(sockets []Socket, _ Worker) []string {
		return []string{
			"LISTEN_FDS=" + strconv.Itoa(len(sockets)),
			"LISTEN_FDNAMES=" + join(sockets, ":", systemdName),
		}
	},
	OwnPID: "LISTEN_PID",
}

// exports are all conventions, each with the source that describes it.
var exports = []Export{
	systemd,
	einhorn,
	// unicorn, lib/unicorn/http_server.rb.
	{Name: "unicorn", prefixes: []string{"UNICORN_FD"}, check: streams, environ: func(sockets []Socket, _ Worker) []string {
		return []string{"UNICORN_FD=" + join(sockets, ",", descriptor)}
	}},
	// puma, lib/puma/binder.rb: what follows the descriptor must be the bind that puma was
	// given, to the letter.
	{Name: "puma", prefixes: []string{"PUMA_INHERIT_"}, check: streams, environ: func(sockets []Socket, _ Worker) []string {
		var told []string
		for i, s := range sockets {
			told = append(told, fmt.Sprintf("PUMA_INHERIT_%d=%d:%s", i, s.FD, pumaBind(s)))
		}
		return told
	}},
	// nginx, src/core/nginx.c, ngx_add_inherited_sockets: the descriptors tell their
	// addresses. If two workers are woken for one connection, the second would block in
	// accept(2), and serve nothing meanwhile.
	{Name: "nginx", prefixes: []string{"NGINX"}, check: anything, Nonblocking: true, environ: func(sockets []Socket, _ Worker) []string {
		var list strings.Builder
		for _, s := range sockets {
			list.WriteString(descriptor(s) + ";")
		}
		return []string{"NGINX=" + list.String()}
	}},
	// php-fpm, sapi/fpm/fpm/fpm_sockets.c: it finds a socket by the address of its listen
	// directive. It unlinks a path in fpm_sockets_cleanup.
	{Name: "php-fpm", Unlinks: true, prefixes: []string{"FPM_SOCKETS"}, check: streams, environ: func(sockets []Socket, _ Worker) []string {
		return []string{"FPM_SOCKETS=" + join(sockets, ",", func(s Socket) string { return s.Addr.String() + "=" + descriptor(s) })}
	}},
}

// ParseExports finds conventions by name. Each list is names joined by commas. The error
// names every fault.
func ParseExports(lists []string) ([]Export, error) {
	var found []Export
	var faults []error
	for _, list := range lists {
		for _, name := range strings.Split(list, ",") {
			name = strings.TrimSpace(name)
			known := func(e Export) bool { return e.Name == name }
			i := slices.IndexFunc(exports, known)
			switch {
			case i < 0:
				faults = append(faults, fmt.Errorf("export %q: there are only %s", name, strings.Join(ExportNames(), ", ")))
			case slices.ContainsFunc(found, known):
				faults = append(faults, fmt.Errorf("export %q: it is asked for twice", name))
			default:
				found = append(found, exports[i])
			}
		}
	}
	return found, errors.Join(faults...)
}

// ExportNames are the names of all conventions.
func ExportNames() []string {
	var names []string
	for _, e := range exports {
		names = append(names, e.Name)
	}
	return names
}

// Check says why the convention cannot tell of the sockets, if it cannot. They need not
// be bound yet: only the descriptor and the network count.
func (e Export) Check(sockets []Socket) error {
	if err := e.check(sockets); err != nil {
		return fmt.Errorf("export %q: %w", e.Name, err)
	}
	return nil
}

// Environ is the variables that tell a worker of the bound sockets, without OwnPID.
func (e Export) Environ(sockets []Socket, w Worker) []string { return e.environ(sockets, w) }

// Owns tells whether a variable is one of the convention's.
func (e Export) Owns(variable string) bool {
	return slices.ContainsFunc(e.prefixes, func(p string) bool {
		if strings.HasSuffix(p, "_") {
			return strings.HasPrefix(variable, p)
		}
		return variable == p
	})
}

// ForUs tells whether a variable is about the superdaemon's own descriptors: those of
// systemd's socket activation, and the labels that one above us gave.
func ForUs(variable string) bool { return systemd.Owns(variable) || variable == labels }

func anything([]Socket) error { return nil }

// inARow is for conventions that tell only the number of sockets.
func inARow(sockets []Socket) error {
	for i, s := range sockets {
		if s.FD != firstPassed+i {
			return fmt.Errorf("the sockets must be at descriptors from %d on, in the order given, and %q is at %d: do not pin it there", firstPassed, s.called(), s.FD)
		}
	}
	return nil
}

// streams is for conventions without datagram sockets.
func streams(sockets []Socket) error {
	for _, s := range sockets {
		if n := s.Addr.Network(); n != "tcp" && n != "unix" {
			return fmt.Errorf("it cannot name a %s socket, and %q is one", n, s.called())
		}
	}
	return nil
}

func descriptor(s Socket) string { return strconv.Itoa(s.FD) }

// unnamed is systemd's name for a socket that has none.
const unnamed = "unknown"

func systemdName(s Socket) string {
	if s.Label == "" {
		return unnamed
	}
	return s.Label
}

func family(s Socket) string {
	switch a := s.Addr.(type) {
	case *net.TCPAddr:
		return ipFamily(a.IP)
	case *net.UDPAddr:
		return ipFamily(a.IP)
	}
	return "AF_UNIX"
}

func ipFamily(ip net.IP) string {
	if ip.To4() == nil {
		return "AF_INET6"
	}
	return "AF_INET"
}

// pumaBind is the bind that puma is given for the socket. A host name stays as it is.
func pumaBind(s Socket) string {
	if s.Addr.Network() == "unix" {
		return "unix://" + s.Name
	}
	if !strings.Contains(s.Name, ":") {
		return "tcp://0.0.0.0:" + s.Name
	}
	return "tcp://" + s.Name
}
