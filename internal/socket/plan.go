package socket

import "net"

// Plan is what Bind will make of specs: the descriptors at which workers will
// find the sockets, and their names and addresses as far as these are known
// before. Port 0 stands for one that the system will choose.
func Plan(specs []Spec) []Socket {
	sockets := make([]Socket, len(specs))
	for i, fd := range number(specs) {
		s := Socket{Spec: specs[i], FD: fd, fd: -1}
		s.Name = s.name(s.Port)
		switch {
		case s.Path != "":
			s.Addr = &net.UnixAddr{Name: s.Path, Net: "unix"}
		case s.UDP:
			s.Addr = &net.UDPAddr{Port: int(s.Port)}
		default:
			s.Addr = &net.TCPAddr{Port: int(s.Port)}
		}
		sockets[i] = s
	}
	return sockets
}
