package listener_test

import (
	"context"
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

// A server on all sockets that start_server was given.
func ExampleServe_all() {
	listeners, err := listener.ListenAll()
	if err != nil && !errors.Is(err, listener.ErrNoListeningTarget) {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()                                 // only to end the example
	srv := &http.Server{Addr: "127.0.0.1:0"} // for a program that runs alone
	fmt.Println(listener.Serve(ctx, srv, listeners...))
	// Output: <nil>
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

// A server of one address.
func ExampleListen() {
	ln, err := listener.Listen("tcp", "127.0.0.1:0") // under start_server: the address of one of its sockets
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	fmt.Println(ln.Addr().Network())
	// Output: tcp
}

func ExampleListenPackets() {
	conns, err := listener.ListenPackets()
	for _, conn := range conns {
		defer conn.Close()
	}
	fmt.Println(len(conns), err)
	// Output: 0 no listening target
}

// Two servers of a program find their sockets by label, whatever their ports are:
//
//	start_server --port=web@8080,admin@127.0.0.1:9090 -- ./program
func ExampleListenNamed() {
	for _, label := range []string{"web", "admin"} {
		listeners, err := listener.ListenNamed(label)
		if errors.Is(err, listener.ErrNoListeningTarget) {
			fmt.Println("alone: bind for", label)
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		go listener.Serve(context.Background(), &http.Server{}, listeners...)
	}
	// Output:
	// alone: bind for web
	// alone: bind for admin
}

// start_server --port=dns@u53 -- ./program
func ExampleListenPacketsNamed() {
	_, err := listener.ListenPacketsNamed("dns")
	fmt.Println(err)
	// Output: listen by label "dns": no listening target
}

// A single socket may be taken at any time, also several times.
func ExampleTCPListener() {
	os.Setenv(listener.ServerStarterEnvVarName, "127.0.0.1:8080=1000000000")
	defer os.Unsetenv(listener.ServerStarterEnvVarName)

	ports, err := listener.Ports()
	if err != nil {
		log.Fatal(err)
	}
	web := ports[0].(listener.TCPListener)
	fmt.Println(web.Addr, web.Port, web)
	_, err = web.Listen() // there is no such descriptor here
	fmt.Println("failed:", err != nil)
	// Output:
	// 127.0.0.1 8080 127.0.0.1:8080=1000000000
	// failed: true
}

func ExampleUnixListener() {
	os.Setenv(listener.ServerStarterEnvVarName, "/run/app.sock=3")
	defer os.Unsetenv(listener.ServerStarterEnvVarName)

	ports, err := listener.Ports()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ports[0].(listener.UnixListener).Path, "of", listener.GetPortsSpecification())
	// Output: /run/app.sock of /run/app.sock=3
}

// The first start after a release migrates; the following ones need not.
func ExampleGeneration() {
	if n := listener.Generation(); n > 1 {
		fmt.Println("restarted", n-1, "times")
	} else {
		fmt.Println("the first, or run alone")
	}
	// Output: the first, or run alone
}

// A server that does not use Serve says itself that it is ready.
func ExampleReady() {
	if err := listener.Ready(); err != nil {
		log.Print(err) // no reason to end: the process that waits for the notice will act
	}
	fmt.Println("serving")
	// Output: serving
}
