package main

import (
	"errors"
	"fmt"
	"io/fs"
	stdlog "log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/lestrrat/go-server-starter/listener"
)

// standard is the default of --listen.
const standard = "127.0.0.1:9180"

// listen returns the listeners to serve on: the sockets that start_server or systemd has passed, or
// else the addresses.
func listen(addresses []string) (all []net.Listener, err error) {
	if listener.GetPortsSpecification() != "" {
		all, err = listener.ListenAll()
	} else {
		all, err = activated()
	}
	switch {
	case err != nil || len(all) > 0 && len(addresses) == 0:
		return all, err
	case len(all) > 0:
		return nil, errors.New("--listen: sockets were inherited; leave it out")
	case len(addresses) == 0:
		addresses = []string{standard}
	}
	for _, address := range addresses {
		l, err := listenOn(address)
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, fmt.Errorf("--listen=%s: %w", address, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// activated returns the sockets that systemd has passed (sd_listen_fds(3)).
func activated() (all []net.Listener, err error) {
	listeners, err := activation.Listeners()
	for _, l := range listeners {
		if l != nil { // nil: a datagram socket
			all = append(all, l)
		}
	}
	return all, err
}

func listenOn(address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		l, err := net.Listen("tcp", address)
		return l, short(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil && stale(path) {
		if err = os.Remove(path); err == nil {
			l, err = net.Listen("unix", path)
		}
	}
	return l, short(err)
}

// stale reports whether a socket on which no process listens is at path. Only a refused connection
// shows that: other errors come when the queue is full, or from a datagram socket.
func stale(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, refused)
}

// short removes the address from an error of package net: our errors name it already.
func short(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// errorLog is what net/http and others write their lines to.
func errorLog(log func(string, ...any)) *stdlog.Logger {
	return stdlog.New(writer(log), "", 0)
}

// writer logs what is written to it, a line for each call.
type writer func(string, ...any)

// Write is for the log package.
func (w writer) Write(line []byte) (int, error) {
	w("%s", strings.TrimSpace(string(line)))
	return len(line), nil
}
