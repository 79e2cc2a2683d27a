//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// freePort is a port that is free for TCP and UDP, by IPv4 and IPv6, until the test
// ends. No other test gets it, of this or another test binary. No connection gets
// it as its own end: the kernel takes those from the ephemeral range.
func freePort(t *testing.T) string {
	t.Helper()
	first, last := unephemeral(t)
	return reserved(t, first, last)
}

// lowPort is the same below 1024, for tests that may bind it.
func lowPort(t *testing.T) string {
	t.Helper()
	return reserved(t, 512, 1023)
}

func reserved(t *testing.T, first, last int) string {
	t.Helper()
	for range last - first + 1 {
		if port := nextPort(first, last); reserve(t, port) {
			return strconv.Itoa(port)
		}
	}
	require.FailNow(t, "no free port", "from %d to %d", first, last)
	return ""
}

var portsTried atomic.Int64

// nextPort goes round the range, from a random start, so that a port is not used
// again before all others have been.
func nextPort(first, last int) int {
	portsTried.CompareAndSwap(0, rand.Int64N(1<<16))
	return first + int(portsTried.Add(1))%(last-first+1)
}

// reserve reserves a port for the test, if it is free. The reservation is an abstract
// unix socket: such names belong to the network namespace, as ports do, and are gone
// when the process that has them is.
func reserve(t *testing.T, port int) bool {
	t.Helper()
	// A child that is forked meanwhile would keep what is bound here until its exec.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	reservation, err := net.Listen("unix", fmt.Sprintf("@go-server-starter-test/port/%d", port))
	if err != nil {
		return false
	}
	if !isFree(port) {
		reservation.Close()
		return false
	}
	t.Cleanup(func() { reservation.Close() })
	return true
}

// isFree tells whether the port can be bound in every way. IPv6 may be missing.
func isFree(port int) bool {
	addr := ":" + strconv.Itoa(port)
	for _, network := range []string{"tcp4", "tcp6"} {
		ln, err := net.Listen(network, addr)
		if err == nil {
			ln.Close()
		} else if errors.Is(err, syscall.EADDRINUSE) {
			return false
		}
	}
	for _, network := range []string{"udp4", "udp6"} {
		conn, err := net.ListenPacket(network, addr)
		if err == nil {
			conn.Close()
		} else if errors.Is(err, syscall.EADDRINUSE) {
			return false
		}
	}
	return true
}

// unephemeral is the longer one of the ranges below and above the ephemeral range.
// If both are short it is all ports that need no privilege.
func unephemeral(t *testing.T) (first, last int) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	require.NoError(t, err)
	var low, high int
	_, err = fmt.Sscan(string(text), &low, &high)
	require.NoError(t, err)
	const lowest, highest, enough = 10000, 65535, 1000
	first, last = lowest, low-1
	if highest-high > last-first {
		first, last = high+1, highest
	}
	if last-first < enough {
		return 1024, highest
	}
	return first, last
}

func TestFreePortIsTheTests(t *testing.T) {
	t.Parallel()
	first, last := unephemeral(t)
	taken := map[string]bool{}
	for range 100 {
		port := freePort(t)
		assert.False(t, taken[port], "port %s is given twice", port)
		taken[port] = true
		n, err := strconv.Atoi(port)
		require.NoError(t, err)
		assert.False(t, reserve(t, n), "port %s is reserved", port)
		assert.True(t, first <= n && n <= last, "port %s is ephemeral", port)
	}
}

func TestPortInUseIsNotFree(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1:", "[::1]:"} {
		port := freePort(t)
		n, err := strconv.Atoi(port)
		require.NoError(t, err)
		assert.True(t, isFree(n))
		ln, err := net.Listen("tcp", addr+port)
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			continue // there is no IPv6 here
		}
		require.NoError(t, err)
		assert.False(t, isFree(n), "TCP %s%s", addr, port)
		require.NoError(t, ln.Close())

		conn, err := net.ListenPacket("udp", addr+port)
		require.NoError(t, err)
		assert.False(t, isFree(n), "UDP %s%s", addr, port)
		require.NoError(t, conn.Close())
	}
}
