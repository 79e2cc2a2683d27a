// Package protocol is shared by the benchmark and its worker: one HTTP request and its
// answer, and the reports that the worker sends.
package protocol

// The request and the answer are fixed, so that neither side spends time on
// parsing, and the client can tell a complete answer by comparing it.
const (
	Request = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
	Answer  = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

// Variable names the unix datagram socket to which a worker reports.
const Variable = "BENCH_REPORT"

// Kind is what a worker reports.
type Kind string

// The kinds, in the order in which a worker reports them.
const (
	Started    Kind = "started"    // main runs
	Ready      Kind = "ready"      // it accepts on all of its sockets
	Terminated Kind = "terminated" // it got SIGTERM
)
