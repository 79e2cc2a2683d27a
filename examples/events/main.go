// Command events sends server-sent events to browsers for as long as they listen, and is
// hot-restartable:
//
//	start_server --port=8080 --ready=notify -- events
//	curl -N http://127.0.0.1:8080/events
//
// When it drains it says so to each browser, and ends the response. An EventSource
// connects again by itself, to the new generation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/listener"
)

func main() {
	addr := flag.String("addr", ":8080", "address to bind when not run by start_server")
	every := flag.Duration("every", time.Second, "time between two events")
	flag.Parse()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := listener.DrainingContext(r.Context())
		defer cancel()
		if r.ProtoMajor == 1 { // otherwise the browser would come back over the same connection
			w.Header().Set("Connection", "close")
		}
		if err := send(ctx, w, *every); err != nil && r.Context().Err() == nil {
			log.Printf("%s: %v", r.RemoteAddr, err)
		}
	})
	srv := &http.Server{Addr: *addr, Handler: mux, ReadHeaderTimeout: time.Minute}
	if err := listener.Serve(context.Background(), srv); err != nil {
		log.Fatal(err)
	}
}

// send sends one event after the other until ctx ends. If it ends because the server drains,
// the last event says so; its retry field tells the browser to come back after 100 ms.
func send(ctx context.Context, w http.ResponseWriter, every time.Duration) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		_, err := fmt.Fprintf(w, "id: %d\ndata: event %d of pid %d, generation %d\n\n", n, n, os.Getpid(), listener.Generation())
		if err == nil {
			err = http.NewResponseController(w).Flush()
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), listener.ErrDraining) {
				_, err = fmt.Fprint(w, "event: drain\nretry: 100\ndata: the server restarts\n\n")
			}
			return err
		}
	}
}
