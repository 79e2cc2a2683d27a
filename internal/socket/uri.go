package socket

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// FromURI turns a URI into a specification for Parse: a port or a path, the other is
// empty. The forms are tcp://HOST:PORT, tcp4://HOST:PORT, tcp6://HOST:PORT, unix://PATH
// and fd://N, which is a port to Parse. tcp without a host is all addresses of both
// families; 0.0.0.0 is all of IPv4. A path gets the mode 0777 less the umask of this
// process. To look up a host may block; the error is then a *net.DNSError.
func FromURI(uri string) (port, path string, err error) {
	scheme, place, _ := strings.Cut(uri, ":")
	place, slashes := strings.CutPrefix(place, "//")
	switch {
	case scheme == "unix":
		path, err = uriPath(place)
	case !slashes:
		err = errors.New("it is not a URI such as tcp://:8080, unix:///run/app.sock or fd://3")
	case scheme == "fd":
		port, err = uriDescriptor(strings.TrimSuffix(place, "/"))
	case scheme == "tcp", scheme == "tcp4", scheme == "tcp6":
		port, err = uriPort(scheme, strings.TrimSuffix(place, "/"))
	default:
		err = fmt.Errorf("scheme %q is not tcp, tcp4, tcp6, unix or fd", scheme)
	}
	if err != nil {
		return "", "", fmt.Errorf("listen %q: %w", uri, err)
	}
	return port, path, nil
}

func uriPath(path string) (string, error) {
	switch {
	case path == "":
		return "", errors.New("the path is missing")
	case !strings.HasPrefix(path, "/"):
		path = "./" + path // so that no @ in it ends a label
	}
	if specs, err := Parse(nil, []string{path}); err == nil && specs[0].Path != path {
		return "", fmt.Errorf("path %q looks as if options were behind its comma: choose another one", path)
	}
	return fmt.Sprintf("%s,mode=%o", path, 0o777&^umask()), nil
}

func uriDescriptor(number string) (string, error) {
	if _, err := strconv.ParseUint(number, 10, 20); err != nil {
		return "", fmt.Errorf("%q is not the number of a descriptor", number)
	}
	return "fd://" + number, nil
}

func uriPort(network, place string) (string, error) {
	if _, port, err := net.SplitHostPort(place); err != nil || port == "" {
		return "", errors.New("what follows // is not HOST:PORT, with an IPv6 address in brackets")
	}
	addr, err := net.ResolveTCPAddr(network, place)
	if err != nil {
		return "", err
	}
	spec := addr.String()
	port := strconv.Itoa(addr.Port)
	switch {
	case addr.IP == nil && network == "tcp6":
		spec = "[::]:" + port
	case addr.IP == nil && (network == "tcp4" || !haveIPv6()):
		spec = "0.0.0.0:" + port
	case network == "tcp" && (addr.IP == nil || addr.IP.Equal(net.IPv6unspecified)):
		spec = "[::]:" + port + ",v6only=0"
	}
	return spec, nil
}

// haveIPv6 tells whether this system has IPv6.
func haveIPv6() bool {
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
