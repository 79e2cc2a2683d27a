// Command datagrams answers every datagram with its pid and generation.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/listener"
)

func main() {
	conns, err := listener.ListenPackets()
	if err != nil || len(conns) != 1 {
		log.Fatalf("%d sockets, error %v", len(conns), err)
	}
	conn := conns[0]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// What is in the socket's queue stays there for the new generation. What has been
	// read is answered first.
	context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })

	answer := fmt.Appendf(nil, "hello from pid %d, generation %d\n", os.Getpid(), listener.Generation())
	buffer := make([]byte, 64<<10)
	for {
		_, from, err := conn.ReadFrom(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		case err != nil:
			log.Fatal(err)
		}
		if _, err := conn.WriteTo(answer, from); err != nil && !errors.Is(err, net.ErrClosed) {
			log.Print(err)
		}
	}
}
