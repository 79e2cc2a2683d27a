package starter

import (
	"os"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/socket"
)

// told is what a worker is told in its environment, whatever else is in that.
func (s *Starter) told(generation, slot int) []string {
	sockets := names(s.sockets.Sockets)
	told := fdenv.ServerStarter(sockets, generation)
	for _, e := range s.exports {
		told = append(told, e.Environ(sockets, fdenv.Worker{Master: os.Getpid(), Control: s.config.Control, Slot: slot})...)
	}
	if s.config.Workers > 0 {
		told = append(told, fdenv.Slot(slot)...)
	}
	if s.notices != nil {
		told = append(told, "NOTIFY_SOCKET="+s.notices.Addr())
		if s.control != nil {
			told = append(told, fdenv.EinhornAck(os.Getpid(), s.config.Control)...)
		}
	}
	return unique(told)
}

// warn tells of what the program will do to the sockets, if it can.
func (s *Starter) warn() {
	for _, e := range s.exports {
		for _, socket := range s.sockets.Sockets {
			if e.Unlinks && socket.Addr.Network() == "unix" {
				s.out.Printf("%s removes %s when it leaves, and then the new one cannot be reached: keep its user from writing to the directory, or use a port", e.Name, socket.Name)
			}
		}
	}
}

// checkPaths tells of paths that a worker has removed as it left, which some do.
func (s *Starter) checkPaths(sockets *socket.Set) {
	for _, path := range sockets.Lost() {
		if !s.lost[path] {
			s.lost[path] = true
			s.out.Printf("somebody has removed %s: nobody can connect to that socket any more, until %s itself is started anew", path, s.config.Name)
		}
	}
}

// args are a worker's program and its arguments.
func (s *Starter) args() ([]string, error) {
	if !s.config.Expand {
		return s.config.Command, nil
	}
	return expand(s.config.Command, names(s.sockets.Sockets))
}

// expand leaves the program's own name as it is.
func expand(command []string, sockets []fdenv.Socket) ([]string, error) {
	if len(command) == 0 {
		return nil, nil // which is told elsewhere
	}
	args, err := fdenv.Expand(command[1:], sockets)
	return append([]string{command[0]}, args...), err
}

// names are the sockets as workers are told of them.
func names(sockets []socket.Socket) []fdenv.Socket {
	names := make([]fdenv.Socket, len(sockets))
	for i, s := range sockets {
		names[i] = fdenv.Socket{Name: s.Name, Label: s.Label, Addr: s.Addr, FD: s.FD}
	}
	return names
}
