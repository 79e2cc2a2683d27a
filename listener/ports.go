package listener

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// ServerStarterEnvVarName is the environment variable in which start_server
// tells which descriptor is which socket, such as
// "8080=3;127.0.0.1:8081=4;[::1]:8082=5;/tmp/app.sock=6".
const ServerStarterEnvVarName = "SERVER_STARTER_PORT"

const generationEnvVarName = "SERVER_STARTER_GENERATION"

// anyIPv4 is the host of a socket whose name is only a port.
const anyIPv4 = "0.0.0.0"

// ErrNoListeningTarget says that there is nothing to listen on:
// SERVER_STARTER_PORT is unset or empty, or holds no socket of the kind asked
// for. [ListenNamed] looks at other variables.
var ErrNoListeningTarget = errors.New("no listening target")

// Listener is one inherited socket. The types behind it are [TCPListener] and
// [UnixListener].
type Listener interface {
	// Fd returns the inherited descriptor. The package owns it and keeps it
	// open: do not close it.
	Fd() uintptr

	// Listen returns a new listener on the socket, which the caller closes.
	// It may be called again, before and after that close. It does not block,
	// and fails when the descriptor is not a socket, or is a datagram socket.
	Listen() (net.Listener, error)

	// String returns the socket as start_server writes it: NAME=FD.
	String() string
}

// List is all that was inherited, in the order start_server gives.
type List []Listener

// String returns the list in the form of SERVER_STARTER_PORT.
func (l List) String() string {
	entries := make([]string, len(l))
	for i, port := range l {
		entries[i] = port.String()
	}
	return strings.Join(entries, ";")
}

// TCPListener is an inherited socket named by a port, alone or with a host.
// In spite of its name it may be a UDP socket: SERVER_STARTER_PORT does not
// tell them apart. See [ListenPackets].
type TCPListener struct {
	// Addr is the host as start_server was given it: an address, without
	// the brackets of IPv6, or a host name. It is 0.0.0.0 if there was none.
	Addr string
	// Port is the port number as start_server was given it.
	Port int

	fd uintptr
}

// Fd returns the inherited descriptor, which must not be closed.
func (l TCPListener) Fd() uintptr { return l.fd }

// Listen returns a new listener on the socket, as [Listener] says.
func (l TCPListener) Listen() (net.Listener, error) { return take(l) }

// String returns PORT=FD if the socket listens on all of IPv4, else
// HOST:PORT=FD or [ADDR]:PORT=FD.
func (l TCPListener) String() string {
	name := strconv.Itoa(l.Port)
	if l.Addr != anyIPv4 {
		name = net.JoinHostPort(l.Addr, name)
	}
	return fmt.Sprintf("%s=%d", name, l.fd)
}

// UnixListener is an inherited socket named by a path.
type UnixListener struct {
	// Path is the path as start_server was given it.
	Path string

	fd uintptr
}

// Fd returns the inherited descriptor, which must not be closed.
func (l UnixListener) Fd() uintptr { return l.fd }

// Listen returns a new listener on the socket, as [Listener] says. Closing it
// leaves the socket's file in place.
func (l UnixListener) Listen() (net.Listener, error) { return take(l) }

// String returns PATH=FD.
func (l UnixListener) String() string { return fmt.Sprintf("%s=%d", l.Path, l.fd) }

// GetPortsSpecification returns the value of SERVER_STARTER_PORT, empty when it
// is unset.
func GetPortsSpecification() string { return os.Getenv(ServerStarterEnvVarName) }

// Ports returns what SERVER_STARTER_PORT says was inherited, UDP sockets
// included, without touching a descriptor. The error is [ErrNoListeningTarget]
// if the variable is unset or empty; any other names the part of the value that
// is malformed.
func Ports() ([]Listener, error) { return parse(GetPortsSpecification()) }

// Generation returns the number of this process's generation, from 1: start_server counts
// every attempt to start the program. It is 0 if SERVER_STARTER_GENERATION is not set, or is
// not such a number.
func Generation() int {
	n, err := strconv.Atoi(os.Getenv(generationEnvVarName))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func parse(spec string) ([]Listener, error) {
	if spec == "" {
		return nil, ErrNoListeningTarget
	}
	entries := strings.Split(spec, ";")
	ports := make([]Listener, len(entries))
	for i, entry := range entries {
		port, err := parseEntry(entry)
		if err != nil {
			return nil, fmt.Errorf("parse %s: entry %q: %w", ServerStarterEnvVarName, entry, err)
		}
		ports[i] = port
	}
	return ports, nil
}

// parseEntry splits at the last "=", since a path may hold others.
func parseEntry(entry string) (Listener, error) {
	i := strings.LastIndexByte(entry, '=')
	if i < 0 {
		return nil, errors.New("no = in it")
	}
	name, number := entry[:i], entry[i+1:]
	if name == "" {
		return nil, errors.New("no name before the =")
	}
	fd, err := parseDescriptor(number)
	if err != nil {
		return nil, err
	}
	host, digits, ok := splitName(name)
	if !ok {
		return UnixListener{Path: name, fd: fd}, nil
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("bad port: %w", err)
	}
	return TCPListener{Addr: host, Port: int(port), fd: fd}, nil
}

// splitName takes PORT, HOST:PORT or [ADDR]:PORT apart. Any other name is a
// path: ok is false.
func splitName(name string) (host, port string, ok bool) {
	i := strings.LastIndexByte(name, ':')
	host, port = name[:max(i, 0)], name[i+1:]
	if port == "" || strings.Trim(port, "0123456789") != "" {
		return "", "", false
	}
	forbidden := ":/[]"
	if inner, found := strings.CutPrefix(host, "["); found {
		if host, found = strings.CutSuffix(inner, "]"); !found || host == "" {
			return "", "", false
		}
		forbidden = "/[]"
	}
	if strings.ContainsAny(host, forbidden) {
		return "", "", false
	}
	if host == "" {
		host = anyIPv4
	}
	return host, port, true
}
