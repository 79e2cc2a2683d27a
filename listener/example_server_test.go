package listener_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/lestrrat/go-server-starter/listener"
)

// A server with limits for its drain, and websockets.
func ExampleServer() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // only to end the example: SIGTERM ends a server
	s := &listener.Server{
		HTTP:         &http.Server{Addr: "127.0.0.1:0"},
		DrainTimeout: 30 * time.Second,
		IdleGrace:    2 * time.Second,
		TellHijacked: func(conn net.Conn) {
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			conn.Write([]byte{0x88, 2, 1001 >> 8, 1001 & 0xff}) // a close frame: going away
		},
	}
	switch err := s.Serve(ctx); {
	case errors.Is(err, listener.ErrDrainTimeout):
		log.Print(err) // such as "drain timeout of 30s: closed with 2 requests"
	case err != nil:
		log.Fatal(err)
	}
	fmt.Println("drained")
	// Output: drained
}

// Each request needs the database. If the database is deadlocked, WATCHDOG=1 is not sent.
func ExampleServer_health() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // only to end the example
	database := func(context.Context) error { return nil }
	s := &listener.Server{
		HTTP: &http.Server{Addr: "127.0.0.1:0"},
		Health: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := database(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
			}
		}),
	}
	fmt.Println(s.Serve(ctx))
	// Output: <nil>
}

// A server that drains when its context ends, here after a millisecond.
func ExampleServer_Serve() {
	ln, err := listener.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	fmt.Println((&listener.Server{}).Serve(ctx, ln))
	// Output: <nil>
}

// ServeTLS is all that HTTP/2 needs.
func ExampleServer_ServeTLS() {
	lent := httptest.NewUnstartedServer(nil) // its certificate: a server has files with one
	lent.EnableHTTP2 = true
	lent.StartTLS()
	defer lent.Close()

	ln, err := listener.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &listener.Server{HTTP: &http.Server{
		TLSConfig: lent.TLS.Clone(),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }),
	}}
	s.HTTP.TLSConfig.NextProtos = nil
	served := make(chan error, 1)
	go func() { served <- s.ServeTLS(ctx, "", "", ln) }()

	res, err := lent.Client().Get("https://" + ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	proto, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	res.Body.Close()
	cancel()
	fmt.Println(string(proto), <-served)
	// Output: HTTP/2.0 <nil>
}

// A job beside the requests ends when the program begins to drain.
func ExampleDraining() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for {
			select {
			case <-tick.C: // refresh a cache
			case <-listener.Draining():
				fmt.Println("the job ends")
				return
			}
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // only to end the example
	if err := listener.Serve(ctx, &http.Server{Addr: "127.0.0.1:0"}); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output: the job ends
}

// A long poll answers at once when the server drains. Its client then asks the next generation.
func ExampleDrainingContext() {
	news := make(chan string)
	waiting := make(chan struct{})
	poll := func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := listener.DrainingContext(r.Context())
		defer cancel()
		close(waiting)
		select {
		case text := <-news:
			io.WriteString(w, text)
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), listener.ErrDraining) {
				w.Header().Set("Connection", "close") // Serve sets it only if a request comes during the drain
				io.WriteString(w, "nothing new")
			}
		}
	}
	ln, err := listener.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- listener.Serve(ctx, &http.Server{Handler: http.HandlerFunc(poll)}, ln) }()
	go func() { <-waiting; cancel() }()
	res, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	fmt.Println(string(text), err, <-served)
	// Output: nothing new <nil> <nil>
}
