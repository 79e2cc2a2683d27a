// Package listener makes a server program hot-restartable. It takes the
// sockets that start_server bound and handed over, be it the one of this
// module, the original of Perl or another port of it:
//
//	http.HandleFunc("/", hello)
//	err := listener.Serve(context.Background(), &http.Server{Addr: ":8080"})
//	if err != nil { log.Fatal(err) }
//
// Run alone, the program binds its address itself; under
//
//	start_server --port=8080 -- ./program
//
// it serves the inherited socket, or of several those that Addr names, and no
// connection is lost when start_server replaces it. Servers that do not speak
// HTTP call [ListenAll], or [Listen] for one address or [ListenNamed] for a label, and
// [ListenPackets] or [ListenPacket] for UDP.
//
// # The drain
//
// At SIGTERM a server drains: it accepts no more, serves what it has, and ends. Handlers
// that last learn of that by [DrainingContext], other parts of the program by [Draining]. A
// [Server] has limits for the drain, and waits for hijacked connections, such as
// websockets. docs/drain.md of the module shows each kind of server.
//
// # Descriptors
//
// An inherited descriptor belongs to the process until it ends: this package
// never closes it. Taking it sets its close-on-exec flag, so that no child of
// the server inherits the port, and wraps a duplicate; closing the
// net.Listener or net.PacketConn closes that duplicate. The same socket may
// thus be taken again at any time, and its number is never reused for
// something else. A connection that arrives when every listener of this
// process is closed waits in the queue of the socket, which all generations
// and start_server share, for the next process to accept it. The file of a
// unix socket is never removed: it is start_server's.
//
// Taking a socket makes it non-blocking, as Go needs it; that flag is shared
// with all generations too, and this package never clears it. [Serve] also ends
// under a superdaemon that does.
//
// Sockets can be inherited on Unix only. Elsewhere everything here works in a
// program that runs alone, and a non-empty SERVER_STARTER_PORT is an error.
package listener
