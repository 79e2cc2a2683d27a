// Command grabber is a worker that wants connections which are not for it. It tries what a
// process can do with a listening socket, prints each result on a line, and serves. With an
// address as its argument it is no worker, and only tries to listen there, too.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/lestrrat/go-server-starter/listener"
	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 {
		l, err := join(os.Args[1])
		fmt.Println("join:", err)
		if err == nil {
			go func() {
				conn, _ := l.Accept()
				fmt.Println("a connection:", conn.RemoteAddr())
			}()
		}
		_, _ = io.Copy(io.Discard, os.Stdin) // until its parent ends
		return
	}
	name, number, _ := strings.Cut(os.Getenv("SERVER_STARTER_PORT"), "=")
	n, _ := strconv.Atoi(number)
	first := &unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 2}}
	fmt.Println("attach:", unix.SetsockoptSockFprog(n, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, first))
	fmt.Println("unlock:", unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_LOCK_FILTER, 0))
	fmt.Println("filter:", unix.SetsockoptSockFprog(n, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, first))
	_, err := join(name)
	fmt.Println("join:", err)
	if _, err := os.Stat("detach"); err == nil {
		fmt.Println("detach:", unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0))
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "generation %d\n", listener.Generation())
	})
	_ = listener.Serve(context.Background(), &http.Server{Handler: handler})
}

func join(addr string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(n uintptr) {
			_ = unix.SetsockoptInt(int(n), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			_ = unix.SetsockoptInt(int(n), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		})
	}}
	return config.Listen(context.Background(), "tcp", addr)
}
