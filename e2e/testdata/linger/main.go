// Command linger passes TCP sockets to a unix socket. The close(2) of such a TCP socket
// blocks for a day: it has SO_LINGER and unsent data, and nothing reads at the other end.
//
//	linger unix|unixgram PATH COUNT
//
// It prints a line when it has tried, and ends with its stdin.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func main() {
	network, path := os.Args[1], os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	check(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	to, err := net.Dial(network, path)
	check(err)
	out, err := to.(*net.UnixConn).File()
	check(err)
	for range count {
		pass(int(out.Fd()), stuck(ln))
	}
	fmt.Println("done")
	io.Copy(io.Discard, os.Stdin)
}

// stuck is a socket whose close(2) blocks for a day.
func stuck(ln net.Listener) int {
	n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	check(unix.Connect(n, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: ln.Addr().(*net.TCPAddr).Port}))
	_, err = ln.Accept() // the connection is kept open
	check(err)
	check(unix.SetNonblock(n, true))
	junk := make([]byte, 1<<16)
	for err == nil {
		_, err = unix.Write(n, junk)
	}
	check(unix.SetNonblock(n, false))
	check(unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 86400}))
	return n
}

// pass passes a socket. If it is taken no other process has a copy then.
func pass(to, n int) {
	if unix.Sendmsg(to, []byte("READY=1"), unix.UnixRights(n), nil, 0) != nil {
		check(unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}))
	}
	check(unix.Close(n))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
