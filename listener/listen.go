package listener

import (
	"fmt"
	"net"
)

// ListenAll returns a listener on every inherited stream socket, TCP and unix,
// in the order start_server gives; the caller closes them. It skips datagram
// sockets: see [ListenPackets]. It does not block.
//
// The error is [ErrNoListeningTarget] if SERVER_STARTER_PORT is unset or empty
// or names only datagram sockets. Any other error says which part of the
// variable or which descriptor is bad; nothing is left open then.
func ListenAll() ([]net.Listener, error) {
	return takeAll(GetPortsSpecification(), stream, take)
}

// ListenPackets returns a connection on every inherited datagram socket, as
// [ListenAll] does for stream sockets. The errors are the same: it returns
// [ErrNoListeningTarget] if there are only stream sockets.
func ListenPackets() ([]net.PacketConn, error) {
	return takeAll(GetPortsSpecification(), datagram, takePacket)
}

// Listen is net.Listen for a program that may run under start_server. There it
// returns a listener on the inherited socket for the address, and the caller
// closes it. The network is "tcp", "tcp4", "tcp6" or "unix".
//
// A socket is first looked for by its name in SERVER_STARTER_PORT: ":8080" and
// "0.0.0.0:8080" match "8080"; "[::1]:8080", "localhost:8080" and a path match
// the same name. If no name matches, it is looked for by what it is bound to:
// the port, and an address that the host resolves to. Without a host, the first
// socket bound to all of IPv4 or of IPv6 matches. The port may be a service
// name. A socket that accepts more than was asked for, such as "8080" for
// "127.0.0.1:8080", does not match.
//
// If no inherited socket matches, Listen returns an error that lists them. It
// does not bind the address, since that socket would be lost at every restart.
// It binds only if SERVER_STARTER_PORT is unset or empty: start_server sets it
// empty when it has no ports to give.
//
// Listen blocks only while it resolves a host name.
func Listen(network, address string) (net.Listener, error) {
	spec := GetPortsSpecification()
	if spec == "" {
		return net.Listen(network, address)
	}
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return takeOne(spec, network, address, take)
	}
	return nil, net.UnknownNetworkError(network)
}

// ListenPacket is net.ListenPacket for a program that may run under
// start_server. It does for the networks "udp", "udp4", "udp6" and "unixgram"
// what [Listen] does for stream sockets.
func ListenPacket(network, address string) (net.PacketConn, error) {
	spec := GetPortsSpecification()
	if spec == "" {
		return net.ListenPacket(network, address)
	}
	switch network {
	case "udp", "udp4", "udp6", "unixgram":
		return takeOne(spec, network, address, takePacket)
	}
	return nil, net.UnknownNetworkError(network)
}

// takeOne takes the socket of spec that network and address ask for.
func takeOne[T any](spec, network, address string, take func(Listener) (T, error)) (T, error) {
	var none T
	ports, err := parse(spec)
	if err != nil {
		return none, err
	}
	port, err := find(ports, network, address)
	if err != nil {
		return none, fmt.Errorf("listen %s %s: %w", network, address, err)
	}
	return take(port)
}

// takeAll takes the sockets of spec that are of kind k, all of them or none.
func takeAll[T interface{ Close() error }](spec string, k kind, take func(Listener) (T, error)) ([]T, error) {
	ports, err := parse(spec)
	if err != nil {
		return nil, err
	}
	ports, err = ofKind(ports, k)
	if err != nil {
		return nil, err
	}
	return takeEach(ports, take)
}

// ofKind returns the ports of kind k.
func ofKind(ports []Listener, k kind) ([]Listener, error) {
	var found []Listener
	for _, port := range ports {
		s, err := inspect(port)
		if err != nil {
			return nil, err
		}
		if s.kind == k {
			found = append(found, port)
		}
	}
	return found, nil
}

// takeEach takes the ports, all of them or none.
func takeEach[T interface{ Close() error }](ports []Listener, take func(Listener) (T, error)) (taken []T, err error) {
	for _, port := range ports {
		t, err := take(port)
		if err != nil {
			for _, t := range taken {
				t.Close()
			}
			return nil, err
		}
		taken = append(taken, t)
	}
	if len(taken) == 0 {
		return nil, ErrNoListeningTarget
	}
	return taken, nil
}

func take(port Listener) (net.Listener, error) {
	s, err := inspect(port)
	if err != nil {
		return nil, err
	}
	if s.kind == datagram {
		return nil, fmt.Errorf("listen on inherited %s: it is a datagram socket", port)
	}
	file, err := duplicate(port)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	ln, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("listen on inherited %s: %w", port, err)
	}
	return ln, nil
}

func takePacket(port Listener) (net.PacketConn, error) {
	file, err := duplicate(port)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, fmt.Errorf("listen on inherited %s: %w", port, err)
	}
	return conn, nil
}
