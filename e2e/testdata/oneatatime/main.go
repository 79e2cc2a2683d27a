// Command oneatatime is a worker that has one connection at a time, as the
// workers of many prefork servers do: it accepts the next one when the last is
// answered. After GET /die it is killed between two connections.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/lestrrat/go-server-starter/listener"
)

func main() {
	listeners, err := listener.ListenAll()
	if err != nil {
		log.Fatal(err)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	go func() {
		<-told
		listeners[0].Close() // this ends Accept, but not connections that were accepted
	}()
	if err := listener.Ready(); err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listeners[0].Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		if path := serve(conn); path == "/die" {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
}

func serve(conn net.Conn) (path string) {
	defer conn.Close()
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return "" // the client's own fault
	}
	body := fmt.Sprintf("slot %s, generation %d\n", os.Getenv("SERVER_STARTER_WORKER"), listener.Generation())
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return request.URL.Path
}
