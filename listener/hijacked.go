package listener

import (
	"net"
	"syscall"
	"time"
)

// hijacked holds the connections that the program has hijacked, if they are counted. It is
// guarded by drainer.mu.
type hijacked struct {
	counted bool
	tell    func(net.Conn) // nil: none is told
	conns   map[net.Conn]*hijack
	sweepAt int // when conns has so many, the closed ones are dropped
}

type hijack struct {
	since time.Time
	told  bool
}

const leastSweep = 64

// add is called within Hijack.
func (h *hijacked) add(conn net.Conn, now time.Time) {
	if _, known := isClosed(conn); !h.counted || !known {
		return
	}
	if h.conns == nil {
		h.conns, h.sweepAt = map[net.Conn]*hijack{}, leastSweep
	}
	h.conns[conn] = &hijack{since: now}
	if len(h.conns) >= h.sweepAt {
		h.sweepAt = max(2*h.open(), leastSweep)
	}
}

// open counts the connections that are open, and drops the others.
func (h *hijacked) open() int {
	for conn := range h.conns {
		if closed, _ := isClosed(conn); closed {
			delete(h.conns, conn)
		}
	}
	return len(h.conns)
}

func (d *drainer) openHijacked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hijacked.open()
}

// tellHijacked tells each connection once, when it has had the time to answer the upgrade.
func (d *drainer) tellHijacked(now time.Time) {
	if d.hijacked.tell == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn, h := range d.hijacked.conns {
		if closed, _ := isClosed(conn); !closed && !h.told && now.Sub(h.since) >= d.idleGrace {
			h.told = true
			go d.hijacked.tell(conn)
		}
	}
}

// isClosed asks a connection whether this process has closed it. A connection whose type
// has no SyscallConn cannot be asked: known is false.
func isClosed(conn net.Conn) (closed, known bool) {
	c, ok := underlying(conn).(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := c.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil, true
}

// underlying is the connection that carries conn, such as the one below TLS.
func underlying(conn net.Conn) net.Conn {
	for {
		c, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = c.NetConn()
	}
}
