// Command websocket echoes what its clients say over websockets (RFC 6455), and is
// hot-restartable:
//
//	start_server --port=8080 --ready=notify -- websocket
//
// When it drains it tells each client by a close frame of status 1001, "going away", and
// closes the connection when the client has answered with the same. After -limit, package
// listener closes the connections that are left.
package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/listener"
)

func main() {
	addr := flag.String("addr", ":8080", "address to bind when not run by start_server")
	limit := flag.Duration("limit", 10*time.Second, "time that the drain may take in all")
	flag.Parse()

	srv := &http.Server{Addr: *addr, Handler: http.HandlerFunc(echo), ReadHeaderTimeout: time.Minute}
	err := (&listener.Server{HTTP: srv, DrainTimeout: *limit}).Serve(context.Background())
	if errors.Is(err, listener.ErrDrainTimeout) {
		log.Print(err) // some clients had not gone: that is not our fault
	} else if err != nil {
		log.Fatal(err)
	}
}

// socket is a websocket. Any goroutine may write to it.
type socket struct {
	net.Conn
	r      *bufio.Reader
	mu     sync.Mutex
	closes bool // a close frame was written
}

// echo greets the client, and repeats what the client says, until one of the two closes.
func echo(w http.ResponseWriter, r *http.Request) {
	s, err := upgrade(w, r)
	if err != nil {
		return
	}
	defer s.Close() // package listener learns of it, too
	ctx, cancel := listener.DrainingContext(r.Context())
	defer cancel()
	s.write(text, fmt.Appendf(nil, "hello from pid %d, generation %d", os.Getpid(), listener.Generation()))
	stop := context.AfterFunc(ctx, func() { s.write(closing, goingAway) })
	defer stop()
	for {
		kind, payload, err := s.read()
		switch {
		case err != nil:
			return
		case kind == text || kind == data:
			err = s.write(kind, payload)
		case kind == ping:
			err = s.write(pong, payload)
		case kind == closing:
			s.write(closing, payload) // if it was the first to say it
			return
		}
		if err != nil {
			return
		}
	}
}

// upgrade answers the client's handshake, or says why it does not.
func upgrade(w http.ResponseWriter, r *http.Request) (*socket, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if key == "" || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("Sec-WebSocket-Version") != "13" {
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, "this is for websockets", http.StatusUpgradeRequired)
		return nil, http.ErrNotSupported
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil, err
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &socket{Conn: conn, r: rw.Reader}, nil
}
