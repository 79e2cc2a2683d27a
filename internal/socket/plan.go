package socket

import "net"

// Plan tells before Bind at which descriptors workers will find the sockets, and their
// names and addresses as far as they are known. With port 0, which the system replaces,
// there is no name yet.
func Plan(specs []Spec) []Socket {
	sockets := make([]Socket, len(specs))
	for i, fd := range number(specs) {
		s := Socket{Spec: specs[i], FD: fd, fd: -1, others: &[]int{}, split: &split{share: All, Having: Having{Lacks: []int{0, 1}, Early: true}}}
		switch {
		case s.Taken:
			// Check reports what cannot be taken.
			if found, err := inspect(s.Source); err == nil {
				s.Name, s.Addr = found.name, found.addr
			}
		case s.Path != "":
			s.Name, s.Addr = s.Path, &net.UnixAddr{Name: s.Path, Net: "unix"}
		case s.UDP:
			s.Name, s.Addr = s.name(s.Port), &net.UDPAddr{Port: int(s.Port)}
		default:
			s.Name, s.Addr = s.name(s.Port), &net.TCPAddr{Port: int(s.Port)}
		}
		if !s.Taken && s.Path == "" && s.Port == 0 {
			s.Name = ""
		}
		sockets[i] = s
	}
	return sockets
}
