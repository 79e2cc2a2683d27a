package listener_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/lestrrat/go-server-starter/listener"
)

// A server that is hot-restartable under start_server, and runs alone too.
func ExampleServe() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "hello")
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // only to end the example: SIGTERM ends a server
	srv := &http.Server{Addr: "127.0.0.1:0"}
	if err := listener.Serve(ctx, srv); err != nil {
		log.Fatal(err)
	}
	fmt.Println("drained")
	// Output: drained
}

// For TLS, wrap the listeners.
func ExampleServe_tls() {
	cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	ln, err := listener.Listen("tcp", ":8443")
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{cert},
		NextProtos:   []string{"h2", "http/1.1"},
	}
	err = listener.Serve(context.Background(), &http.Server{}, tls.NewListener(ln, config))
	if err != nil {
		log.Fatal(err)
	}
}

func ExamplePorts() {
	// start_server --port=8080 --port=[::1]:8081 --path=/run/app.sock -- ./program
	os.Setenv(listener.ServerStarterEnvVarName, "8080=3;[::1]:8081=4;/run/app.sock=5")
	defer os.Unsetenv(listener.ServerStarterEnvVarName)

	ports, err := listener.Ports()
	if err != nil {
		log.Fatal(err)
	}
	for _, port := range ports {
		switch port := port.(type) {
		case listener.TCPListener:
			fmt.Println("host", port.Addr, "port", port.Port, "descriptor", port.Fd())
		case listener.UnixListener:
			fmt.Println("path", port.Path, "descriptor", port.Fd())
		}
	}
	fmt.Println(listener.List(ports))
	// Output:
	// host 0.0.0.0 port 8080 descriptor 3
	// host ::1 port 8081 descriptor 4
	// path /run/app.sock descriptor 5
	// 8080=3;[::1]:8081=4;/run/app.sock=5
}

// A server of another protocol takes what it inherited, or binds.
func ExampleListenAll() {
	listeners, err := listener.ListenAll()
	if errors.Is(err, listener.ErrNoListeningTarget) {
		var ln net.Listener
		ln, err = net.Listen("tcp", "127.0.0.1:0")
		listeners = []net.Listener{ln}
	}
	if err != nil {
		log.Fatal(err)
	}
	for _, ln := range listeners {
		defer ln.Close()
	}
	fmt.Println("listeners:", len(listeners))
	// Output: listeners: 1
}

// A server of a protocol over UDP.
func ExampleListenPacket() {
	conn, err := listener.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Println("generation", listener.Generation(), "on", conn.LocalAddr().Network())
	// Output: generation 0 on udp
}
