package listener

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// readyTimeout bounds the wait for a superdaemon that does not read.
const readyTimeout = 5 * time.Second

// Ready tells the superdaemon (start_server --ready=notify) or systemd (Type=notify) that
// the program is ready to serve. It sends READY=1 to the unix datagram socket that
// NOTIFY_SOCKET names (sd_notify(3)); a name that begins with @ is one of Linux's abstract
// namespace. If the variable is unset or empty, Ready does nothing and returns nil.
//
// [Serve] calls Ready by itself. To call it again has no effect. It blocks for 5 seconds
// at most. The variable stays set. The error says that the notice could not be sent.
func Ready() error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", name)
	if err != nil {
		return fmt.Errorf("say ready to NOTIFY_SOCKET %s: %w", name, err)
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(readyTimeout))
	if _, err := conn.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("say ready to NOTIFY_SOCKET %s: %w", name, err)
	}
	return nil
}

// sayReady has srv call Ready when it begins to accept on the last of n listeners. If that
// fails srv serves nevertheless: the superdaemon acts when no notice comes.
func sayReady(srv *http.Server, n int) {
	var accepting atomic.Int64
	base := srv.BaseContext
	srv.BaseContext = func(ln net.Listener) context.Context {
		ctx := context.Background()
		if base != nil {
			ctx = base(ln)
		}
		if accepting.Add(1) == int64(n) {
			if err := Ready(); err != nil {
				logf(srv, "listener: %v", err)
			}
		}
		return ctx
	}
}

// logf writes to where net/http writes for srv.
func logf(srv *http.Server, format string, args ...any) {
	if srv.ErrorLog != nil {
		srv.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}
