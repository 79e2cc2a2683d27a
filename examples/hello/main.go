// Command hello is a small server that is hot-restartable:
//
//	start_server --port=8080 -- hello
//
// Without start_server it binds -addr itself.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/lestrrat/go-server-starter/listener"
)

func main() {
	addr := flag.String("addr", ":8080", "address to bind when not run by start_server, and to choose of several sockets")
	all := flag.Bool("all", false, "serve on all sockets of start_server")
	boot := flag.Duration("boot", 0, "time to pass before serving, as a slow start would")
	delay := flag.Duration("delay", 0, "time that each request takes")
	flag.Parse()

	time.Sleep(*boot)
	greeting := "hello from pid " + strconv.Itoa(os.Getpid()) +
		", generation " + strconv.Itoa(listener.Generation()) + "\n"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(*delay)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, greeting)
	})
	srv := &http.Server{Addr: *addr, Handler: mux, ReadHeaderTimeout: time.Minute}
	// Ctrl-C in a terminal goes to all processes that run there: drain then, too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var listeners []net.Listener // none: Serve takes what Addr names
	if *all {
		var err error
		if listeners, err = listener.ListenAll(); err != nil {
			log.Fatal(err)
		}
	}
	if err := listener.Serve(ctx, srv, listeners...); err != nil {
		log.Fatal(err)
	}
}
