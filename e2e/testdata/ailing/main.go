// Command ailing is a server that falls ill when it is asked to: after GET /deadlock it
// accepts connections and answers none, and with GET /leak it takes 48 MiB more memory.
// If there is a file broken in its working directory when it starts, it fails.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/lestrrat/go-server-starter/listener"
)

func main() {
	if _, err := os.Stat("broken"); err == nil {
		log.Fatal("broken")
	}
	var mu sync.Mutex // all requests need it
	var leaked [][]byte
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "pid %d, generation %d\n", os.Getpid(), listener.Generation())
	})
	mux.HandleFunc("GET /deadlock", func(http.ResponseWriter, *http.Request) { mu.Lock() })
	mux.HandleFunc("GET /leak", func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		memory := make([]byte, 48<<20)
		for i := range memory {
			memory[i] = 1
		}
		leaked = append(leaked, memory)
	})
	server := &listener.Server{HTTP: &http.Server{Handler: mux}, Health: mux}
	if err := server.Serve(context.Background()); err != nil {
		log.Fatal(err)
	}
}
