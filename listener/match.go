package listener

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

type kind int

const (
	stream kind = iota
	datagram
)

func (k kind) String() string {
	if k == datagram {
		return "datagram"
	}
	return "stream"
}

// socket is what the kernel says of an inherited descriptor.
type socket struct {
	kind kind
	addr netip.AddrPort // not valid for a unix socket
	path string         // of a unix socket
}

// network returns package net's name for such a socket.
func (s socket) network() string {
	switch {
	case !s.addr.IsValid() && s.kind == datagram:
		return "unixgram"
	case !s.addr.IsValid():
		return "unix"
	}
	name := "tcp"
	if s.kind == datagram {
		name = "udp"
	}
	if s.addr.Addr().Is4() {
		return name + "4"
	}
	return name + "6"
}

// candidate is an inherited socket, as start_server and as the kernel describe it.
type candidate struct {
	Listener
	socket
}

// find returns the port that network and address mean, by the rules of Listen.
func find(ports []Listener, network, address string) (Listener, error) {
	found, err := findAll(ports, network, address)
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// findAll returns the ports that network and address mean, at least one. They may be
// several: an address without a host means the sockets of IPv4 and of IPv6, and a host
// name may have several addresses.
func findAll(ports []Listener, network, address string) ([]Listener, error) {
	var candidates []candidate
	for _, port := range ports {
		s, err := inspect(port)
		if err != nil {
			return nil, err
		}
		if own := s.network(); own == network || strings.TrimRight(own, "46") == network {
			candidates = append(candidates, candidate{port, s})
		}
	}
	search := findIP
	if strings.HasPrefix(network, "unix") {
		search = findPath
	}
	found, err := search(candidates, network, address)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("not among the inherited sockets %s", List(ports))
	}
	return found, nil
}

// matching returns the sockets of the candidates that match.
func matching(candidates []candidate, match func(candidate) bool) []Listener {
	var found []Listener
	for _, c := range candidates {
		if match(c) {
			found = append(found, c.Listener)
		}
	}
	return found
}

func findPath(candidates []candidate, _, path string) ([]Listener, error) {
	path = filepath.Clean(path)
	return matching(candidates, func(c candidate) bool {
		named, ok := c.Listener.(UnixListener)
		return ok && filepath.Clean(named.Path) == path || filepath.Clean(c.path) == path
	}), nil
}

func findIP(candidates []candidate, network, address string) ([]Listener, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := net.LookupPort(network, service)
	if err != nil {
		return nil, err
	}
	found := matching(candidates, func(c candidate) bool {
		named, ok := c.Listener.(TCPListener)
		return ok && named.Port == port && sameHost(named.Addr, host)
	})
	if len(found) > 0 {
		return found, nil
	}
	// Only a socket with the right port is worth a query to the name server.
	rightPort := func(c candidate) bool { return int(c.addr.Port()) == port }
	if !slices.ContainsFunc(candidates, rightPort) {
		return nil, nil
	}
	addrs, err := resolve(host)
	if err != nil {
		return nil, err
	}
	return matching(candidates, func(c candidate) bool {
		return rightPort(c) && slices.Contains(addrs, c.addr.Addr())
	}), nil
}

// sameHost reports whether a named socket is bound to the host that was asked for.
func sameHost(named, asked string) bool {
	if asked == "" {
		return named == anyIPv4 || named == "::"
	}
	return strings.EqualFold(named, asked)
}

// resolve returns the addresses of host; for an empty host, 0.0.0.0 and ::.
func resolve(host string) ([]netip.Addr, error) {
	if host == "" {
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", host)
	if err != nil {
		return nil, err
	}
	for i, addr := range addrs {
		// A link-local socket's zone is a number to the kernel: leave it out.
		addrs[i] = addr.Unmap().WithZone("")
	}
	return addrs, nil
}
