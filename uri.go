package starter

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/socket"
)

// ListenOn adds a socket to Ports or Paths that is given by a URI: tcp://HOST:PORT,
// tcp4://HOST:PORT or tcp6://HOST:PORT, where no host with tcp is all addresses of
// both families, and 0.0.0.0 those of IPv4; unix://PATH, whose mode is what
// the umask of this process leaves of 0777; or fd://N, an inherited socket. A host is looked
// up, which may block; the error then is a *net.DNSError.
func (c *Config) ListenOn(uri string) error {
	scheme, place, _ := strings.Cut(uri, ":")
	place, slashes := strings.CutPrefix(place, "//")
	var err error
	switch {
	case scheme == "unix":
		err = c.listenOnPath(place)
	case !slashes:
		err = errors.New("it is not a URI such as tcp://:8080, unix:///run/app.sock or fd://3")
	case scheme == "fd":
		err = c.listenOnDescriptor(strings.TrimSuffix(place, "/"))
	case scheme == "tcp", scheme == "tcp4", scheme == "tcp6":
		err = c.listenOnPort(scheme, strings.TrimSuffix(place, "/"))
	default:
		err = fmt.Errorf("scheme %q is not tcp, tcp4, tcp6, unix or fd", scheme)
	}
	if err != nil {
		return fmt.Errorf("listen %q: %w", uri, err)
	}
	return nil
}

func (c *Config) listenOnPath(path string) error {
	switch {
	case path == "":
		return errors.New("the path is missing")
	case !strings.HasPrefix(path, "/"):
		path = "./" + path // or an @ in it could end a label
	}
	if specs, err := socket.Parse(nil, []string{path}); err == nil && specs[0].Path != path {
		return fmt.Errorf("path %q looks as if options were behind its comma: choose another one", path)
	}
	c.Paths = append(c.Paths, fmt.Sprintf("%s,mode=%o", path, 0o777&^umask()))
	return nil
}

func (c *Config) listenOnDescriptor(number string) error {
	if _, err := strconv.ParseUint(number, 10, 20); err != nil {
		return fmt.Errorf("%q is not the number of a descriptor", number)
	}
	c.Ports = append(c.Ports, "fd://"+number)
	return nil
}

func (c *Config) listenOnPort(network, place string) error {
	if _, port, err := net.SplitHostPort(place); err != nil || port == "" {
		return errors.New("what follows // is not HOST:PORT, with an IPv6 address in brackets")
	}
	addr, err := net.ResolveTCPAddr(network, place)
	if err != nil {
		return err
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
	c.Ports = append(c.Ports, spec)
	return nil
}

// haveIPv6 tells that a socket that is to have all addresses can have those of IPv6.
func haveIPv6() bool {
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
