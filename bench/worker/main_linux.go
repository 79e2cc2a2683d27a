// Command worker is the server of the benchmark. Alone (bare) it binds the addresses given
// as arguments; under a superdaemon it takes all sockets of SERVER_STARTER_PORT.
//
// It reads that variable itself and answers with bytes from a constant, since
// package listener and the example server import net/http, whose start takes
// longer than what is to be measured. Otherwise it does what every Go server
// does: package net, a goroutine per socket and per connection.
package main

import (
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
)

func main() {
	boot := flag.Duration("boot", 0, "time to pass before listening, as a slow start would")
	flag.Parse()
	if err := run(*boot, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(boot time.Duration, addresses []string) error {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	if err := protocol.Send(protocol.Started); err != nil {
		return err
	}
	time.Sleep(boot)
	listeners, err := listen(addresses)
	if err != nil {
		return err
	}
	s := serve(listeners)
	// The benchmark is told first. When the superdaemon knows, it tells the old worker to
	// go, which reports that.
	if err := protocol.Send(protocol.Ready); err != nil {
		return err
	}
	if err := protocol.Notify(); err != nil {
		return err
	}
	<-terminate
	err = protocol.Send(protocol.Terminated)
	s.drain()
	return err
}
