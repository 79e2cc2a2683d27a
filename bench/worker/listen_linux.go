package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// listen takes the sockets of the superdaemon, or binds addresses without one.
func listen(addresses []string) ([]net.Listener, error) {
	if ports, ok := os.LookupEnv("SERVER_STARTER_PORT"); ok {
		return inherit(ports)
	}
	// Plain TCP, as the superdaemons hand over: Go makes MPTCP sockets by
	// default, and the comparison would be one of protocols.
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	var listeners []net.Listener
	for _, address := range addresses {
		l, err := config.Listen(context.Background(), "tcp", address)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func inherit(ports string) ([]net.Listener, error) {
	var listeners []net.Listener
	for pair := range strings.SplitSeq(ports, ";") {
		_, number, _ := strings.Cut(pair, "=")
		fd, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("SERVER_STARTER_PORT: %q has no descriptor", pair)
		}
		file := os.NewFile(uintptr(fd), pair)
		l, err := net.FileListener(file) // a duplicate
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pair, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}
