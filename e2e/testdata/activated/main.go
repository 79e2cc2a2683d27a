// Command activated is a server that takes its sockets by go-systemd, as programs
// for systemd's socket activation do. All that it knows of start_server is the
// generation, which it tells.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
)

func main() {
	shutdown := flag.Bool("shutdown", false, "leave by http.Server.Shutdown alone")
	flag.Parse()
	listeners, err := activation.Listeners()
	if err != nil || len(listeners) != 1 {
		log.Fatalf("%d listeners, error %v", len(listeners), err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	b := busy{conns: map[net.Conn]bool{}}
	b.changed.L = &b.mu
	srv := &http.Server{ConnState: b.state, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from pid %d, generation %s\n", os.Getpid(), os.Getenv("SERVER_STARTER_GENERATION"))
	})}
	served := make(chan error)
	go func() { served <- srv.Serve(listeners[0]) }()
	<-ctx.Done()
	if !*shutdown {
		// Shutdown drops connections that are accepted while it begins, and requests that
		// are being read then. So all connections are served before it is called.
		listeners[0].Close()
		<-served // all that was accepted is known by now
		srv.SetKeepAlivesEnabled(false)
		b.wait()
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// busy are the connections on which a request is to come, or is being served.
type busy struct {
	mu      sync.Mutex
	changed sync.Cond
	conns   map[net.Conn]bool
}

func (b *busy) state(conn net.Conn, state http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if state == http.StateNew || state == http.StateActive {
		b.conns[conn] = true
	} else {
		delete(b.conns, conn)
	}
	b.changed.Broadcast()
}

func (b *busy) wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.conns) > 0 {
		b.changed.Wait()
	}
}
