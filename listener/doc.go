// Package listener makes a server program hot-restartable. The program serves
// on the sockets that start_server bound and handed over. It works with this
// module's start_server, with the Perl original, and with other ports of it:
//
//	http.HandleFunc("/", hello)
//	err := listener.Serve(context.Background(), &http.Server{Addr: ":8080"})
//	if err != nil { log.Fatal(err) }
//
// Run alone, the program binds its address itself. Under
//
//	start_server --port=8080 -- ./program
//
// it serves the inherited socket. If there are several, it serves those that Addr
// names. No connection is lost when start_server replaces the program. Servers that
// do not speak HTTP call [ListenAll], [Listen] for one address, or [ListenNamed] for
// a label. For UDP they call [ListenPackets] or [ListenPacket].
//
// # The drain
//
// At SIGTERM a server drains: it accepts no more, serves what it has, and ends. Long-running
// handlers learn of that by [DrainingContext], other parts of the program by [Draining]. A
// [Server] has limits for the drain, and waits for hijacked connections, such as
// websockets. docs/drain.md of the module shows each kind of server.
//
// # Descriptors
//
// An inherited descriptor belongs to the process until it ends: this package
// never closes it. Taking a socket sets the close-on-exec flag of that
// descriptor, so that no child of the server inherits the port, and wraps a
// duplicate. Closing the net.Listener or net.PacketConn closes only the
// duplicate. The same socket may thus be taken again at any time, and the
// descriptor's number is never reused for something else. All generations and
// start_server share the queue of the socket: a connection that arrives when
// this process has closed its listeners waits there for the next process. The
// file of a unix socket is never removed: it belongs to start_server.
//
// Taking a socket makes it non-blocking, because Go needs that. All generations
// share that flag too, and this package never clears it. Some superdaemons do;
// [Serve] ends under those as well.
//
// Sockets can be inherited on Unix only. Elsewhere everything here works in a
// program that runs alone, and a non-empty SERVER_STARTER_PORT is an error.
package listener
