// Command release is a server whose releases can be bad. The file mood in its working
// directory says how: with 500 it answers so, with hang it never answers, with deaf it accepts
// nothing. A good one answers with its generation. At USR1 it does what the file order says:
// abort tells start_server that it is not fit, after sick it answers 500, and shutdown ends
// listening for all processes that share its socket. For each request it writes a line
// GENERATION AGENT to the file asked.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/listener"
)

func main() {
	mood := read("mood")
	var sick atomic.Bool
	sick.Store(mood == "500")
	usr1 := make(chan os.Signal, 1)
	signal.Notify(usr1, syscall.SIGUSR1)
	go func() {
		for range usr1 {
			obey(read("order"), &sick)
		}
	}()
	if mood == "deaf" {
		select {}
	}
	asked, err := os.OpenFile("asked", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		log.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(asked, "%d %s\n", listener.Generation(), r.UserAgent())
		switch {
		case mood == "hang":
			<-r.Context().Done()
		case sick.Load():
			http.Error(w, "broken", http.StatusInternalServerError)
		default:
			fmt.Fprintf(w, "slot %s, generation %d\n", os.Getenv("SERVER_STARTER_WORKER"), listener.Generation())
		}
	})
	sockets, err := listener.ListenAll()
	if err == nil {
		err = listener.Serve(context.Background(), &http.Server{Handler: handler}, sockets...)
	}
	if err != nil {
		log.Print(err)
		time.Sleep(200 * time.Millisecond) // obey has something to say, too
		os.Exit(1)
	}
}

func read(file string) string {
	text, _ := os.ReadFile(file)
	return strings.TrimSpace(string(text))
}

func obey(order string, sick *atomic.Bool) {
	switch order {
	case "abort":
		conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
		if err == nil {
			_, err = conn.Write([]byte("ABORT=1\nSTATUS=the cache is cold"))
		}
		log.Printf("abort: %v", err)
	case "sick":
		sick.Store(true)
	case "shutdown":
		ports := os.Getenv("SERVER_STARTER_PORT")
		fd, err := strconv.Atoi(ports[strings.LastIndex(ports, "=")+1:])
		if err == nil {
			err = syscall.Shutdown(fd, syscall.SHUT_RDWR)
		}
		log.Printf("shutdown: %v", err)
	}
}
