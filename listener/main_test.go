package listener

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
)

const helperVarName = "LISTENER_TEST_HELPER"

// helpers are programs that the test binary plays, by the value of
// LISTENER_TEST_HELPER.
var helpers = map[string]func() error{
	"all":    helpAll,
	"serve":  helpServe,
	"serial": helpSerial,
	"told":   helpTold,
}

func TestMain(m *testing.M) {
	if help, ok := helpers[os.Getenv(helperVarName)]; ok {
		go readStdin()
		if err := help(); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Unsetenv(ServerStarterEnvVarName)
	os.Unsetenv(generationEnvVarName)
	for _, name := range []string{labelsEnvVarName, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	// The first Notify starts the goroutine that passes signals on. It must not
	// start in a synctest bubble.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	signal.Stop(c)
	os.Exit(m.Run())
}

// stdin has a value for each line that the test writes to a helper.
var stdin = make(chan struct{})

// readStdin ends a helper whose test has crashed.
func readStdin() {
	for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
		stdin <- struct{}{}
	}
	os.Exit(1)
}

// helpAll prints everything that it can learn of what it inherited.
func helpAll() error {
	fmt.Println("generation", Generation())
	listeners, err := ListenAll()
	fmt.Println("listeners", len(listeners), err)
	for _, ln := range listeners {
		fmt.Println(ln.Addr().Network(), ln.Addr())
	}
	conns, err := ListenPackets()
	fmt.Println("packets", len(conns), err)
	for _, conn := range conns {
		fmt.Println(conn.LocalAddr().Network(), conn.LocalAddr())
	}
	return nil
}

// helpServe is a server. It prints "serving" when it serves.
func helpServe() error {
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strconv.Itoa(os.Getpid()))
	})}
	return serveAloud(srv)
}

// helpSerial is a server whose only request lasts until a line comes on stdin.
func helpSerial() error {
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("handling")
		<-stdin
		io.WriteString(w, "done")
	})}
	srv.RegisterOnShutdown(func() { fmt.Println("draining") })
	return serveAloud(srv)
}

// helpTold is a server whose program hears of the drain outside of requests.
func helpTold() error {
	ctx, cancel := DrainingContext(context.Background())
	defer cancel()
	select {
	case <-Draining():
		fmt.Println("too early")
	default:
	}
	heard := make(chan struct{})
	go func() {
		<-Draining()
		<-ctx.Done()
		fmt.Println("told:", context.Cause(ctx))
		close(heard)
	}()
	srv := &http.Server{Handler: http.HandlerFunc(hello)}
	if err := serveAloud(srv); err != nil {
		return err
	}
	<-heard
	<-Draining() // it stays closed
	return nil
}

// serveAloud prints "serving" when it begins to accept: SIGTERM is caught from
// then on.
func serveAloud(srv *http.Server) error {
	srv.BaseContext = func(net.Listener) context.Context {
		fmt.Println("serving")
		return context.Background()
	}
	return Serve(context.Background(), srv)
}
