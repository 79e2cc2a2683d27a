package fdenv

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Expand replaces {fd:WHICH} and {port:WHICH} in a program's arguments by a descriptor or
// a port. WHICH is a socket's label, its name in SERVER_STARTER_PORT, or its place from
// 0, tried in that order. The port of a socket that is not bound yet is 0.
func Expand(args []string, sockets []Socket) ([]string, error) {
	expanded := make([]string, len(args))
	for i, arg := range args {
		var err error
		if expanded[i], err = expand(arg, sockets); err != nil {
			return nil, fmt.Errorf("argument %q: %w", arg, err)
		}
	}
	return expanded, nil
}

func expand(arg string, sockets []Socket) (string, error) {
	var done strings.Builder
	for {
		start := strings.IndexByte(arg, '{')
		if start < 0 {
			done.WriteString(arg)
			return done.String(), nil
		}
		done.WriteString(arg[:start])
		arg = arg[start:]
		what, which, found := strings.Cut(arg[1:], ":")
		which, rest, closed := strings.Cut(which, "}")
		if what != "fd" && what != "port" || !found || !closed {
			done.WriteByte('{')
			arg = arg[1:]
			continue
		}
		s, err := find(which, sockets)
		if err != nil {
			return "", fmt.Errorf("{%s:%s} %w", what, which, err)
		}
		number := s.FD
		if what == "port" {
			if number, err = port(s); err != nil {
				return "", fmt.Errorf("{%s:%s} %w", what, which, err)
			}
		}
		done.WriteString(strconv.Itoa(number))
		arg = rest
	}
}

// find finds the only socket with that label, name or place.
func find(which string, sockets []Socket) (Socket, error) {
	for _, called := range []func(int, Socket) bool{
		func(_ int, s Socket) bool { return s.Label == which && which != "" },
		func(_ int, s Socket) bool { return s.Name == which && which != "" },
		func(i int, _ Socket) bool { return strconv.Itoa(i) == which },
	} {
		var found []Socket
		for i, s := range sockets {
			if called(i, s) {
				found = append(found, s)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return Socket{}, fmt.Errorf("could be any of %d sockets: give its place, from 0 on", len(found))
		}
	}
	return Socket{}, fmt.Errorf("names no socket; there are %s", known(sockets))
}

// known lists the sockets by place and name.
func known(sockets []Socket) string {
	if len(sockets) == 0 {
		return "none"
	}
	i := -1
	return join(sockets, ", ", func(s Socket) string {
		i++
		return fmt.Sprintf("%d (%s)", i, s.called())
	})
}

func port(s Socket) (int, error) {
	switch a := s.Addr.(type) {
	case *net.TCPAddr:
		return a.Port, nil
	case *net.UDPAddr:
		return a.Port, nil
	}
	return 0, fmt.Errorf("is a unix socket, which has no port")
}
