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
				s.log.printf("%s removes %s when it leaves, and then the new one cannot be reached: keep its user from writing to the directory, or use a port", e.Name, socket.Name)
			}
		}
	}
}

// args are a worker's program and its arguments.
func (s *Starter) args() ([]string, error) {
	if !s.config.Expand {
		return s.config.Command, nil
	}
	return fdenv.Expand(s.config.Command, names(s.sockets.Sockets))
}

// names are the sockets as workers are told of them.
func names(sockets []socket.Socket) []fdenv.Socket {
	names := make([]fdenv.Socket, len(sockets))
	for i, s := range sockets {
		names[i] = fdenv.Socket{Name: s.Name, Label: s.Label, Addr: s.Addr, FD: s.FD}
	}
	return names
}
