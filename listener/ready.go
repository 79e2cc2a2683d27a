package listener

import "log"

// Ready tells the superdaemon (start_server --ready=notify) or systemd (Type=notify) that
// the program is ready to serve. It sends READY=1 to the unix datagram socket that
// NOTIFY_SOCKET names (sd_notify(3)); a name that begins with @ is one of Linux's abstract
// namespace. If the variable is unset or empty, Ready does nothing and returns nil.
//
// [Serve] calls Ready by itself. A second call has no effect. Ready blocks for 5 seconds
// at most. The variable stays set. The error says that the notice could not be sent.
func Ready() error { return notify("READY=1", "ready") }

// logf writes to where net/http writes for the server.
func (d *drainer) logf(format string, args ...any) {
	if d.srv.ErrorLog != nil {
		d.srv.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}
