// Command streams serves long-lived HTTP/2 streams as gRPC does, with net/http alone. Before
// each message go a byte 0 and its length in four bytes; the trailer grpc-status says how the
// call went. It is hot-restartable:
//
//	start_server --port=8080 --ready=notify -- streams
//	curl --http2-prior-knowledge -N http://127.0.0.1:8080/clock.Clock/Watch -d ''
//
// When it drains it ends the streams with UNAVAILABLE, and gRPC clients call again. Their
// connection got a GOAWAY, so they make a new one, to the new generation.
//
// With -cert and -key it speaks TLS. With -label it serves the sockets of that label.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/listener"
)

// The statuses of gRPC that are used here.
const (
	ok          = "0"
	unavailable = "14"
)

var (
	addr  = flag.String("addr", ":8080", "address to bind when not run by start_server, and to choose of several sockets")
	label = flag.String("label", "", "label of the sockets to serve on")
	cert  = flag.String("cert", "", "file with the certificate; without it, HTTP/2 is not encrypted")
	key   = flag.String("key", "", "file with its key")
	every = flag.Duration("every", time.Second, "time between two messages of a stream")
	limit = flag.Duration("limit", 10*time.Second, "time that the drain may take in all")
)

func main() {
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /clock.Clock/Now", now)
	mux.HandleFunc("POST /clock.Clock/Watch", watch)
	srv := &http.Server{Addr: *addr, Handler: mux, Protocols: new(http.Protocols)}
	srv.Protocols.SetUnencryptedHTTP2(*cert == "")
	srv.Protocols.SetHTTP2(*cert != "")

	var listeners []net.Listener // none: Serve takes what Addr names
	if *label != "" {
		var err error
		if listeners, err = listener.ListenNamed(*label); err != nil {
			log.Fatal(err)
		}
	}
	if err := serve(&listener.Server{HTTP: srv, DrainTimeout: *limit}, listeners); err != nil {
		log.Fatal(err)
	}
}

func serve(s *listener.Server, listeners []net.Listener) error {
	if *cert == "" {
		return s.Serve(context.Background(), listeners...)
	}
	return s.ServeTLS(context.Background(), *cert, *key, listeners...)
}

// now is a call with one answer.
func now(w http.ResponseWriter, _ *http.Request) {
	begin(w)
	if send(w) == nil {
		w.Header().Set("Grpc-Status", ok)
	}
}

// watch is a call whose answers go on until the client ends it, or the server drains.
func watch(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := listener.DrainingContext(r.Context())
	defer cancel()
	begin(w)
	tick := time.NewTicker(*every)
	defer tick.Stop()
	for send(w) == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.Header().Set("Grpc-Status", unavailable)
			return
		}
	}
}

func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
}

func send(w http.ResponseWriter) error {
	message := fmt.Sprintf("%s from pid %d, generation %d", time.Now().Format(time.TimeOnly), os.Getpid(), listener.Generation())
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	if _, err := io.WriteString(w, string(frame)+message); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}
