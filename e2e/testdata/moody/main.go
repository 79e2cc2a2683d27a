// Command moody is an unreliable worker for tests. It writes its NOTIFY_SOCKET to a file of
// its working directory. By chance it fails at once, is ready late, dies while it serves,
// takes its time when it is told to go, or does not go.
package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	term := make(chan os.Signal, 1)
	stays := rand.IntN(10) == 0
	if stays {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(term, syscall.SIGTERM)
	}
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket != "" {
		_ = os.WriteFile(fmt.Sprintf("notified.%d", os.Getpid()), []byte(socket), 0o644)
	}
	if rand.IntN(5) == 0 {
		os.Exit(3)
	}
	upTo := func(d time.Duration) <-chan time.Time { return time.After(rand.N(d)) }
	<-upTo(100 * time.Millisecond)
	if conn, err := net.Dial("unixgram", socket); err == nil {
		_, _ = conn.Write([]byte("READY=1\nSTATUS=in a mood"))
	}
	var end <-chan time.Time
	if rand.IntN(3) == 0 {
		end = upTo(500 * time.Millisecond)
	}
	select {
	case <-end:
		os.Exit(rand.IntN(2))
	case <-term:
		<-upTo(300 * time.Millisecond)
	}
}
