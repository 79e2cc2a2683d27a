package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
)

// client is a connection to the worker.
type client struct {
	conn   *net.TCPConn
	answer [len(protocol.Answer)]byte
}

// dial connects, with a deadline for everything on the connection.
func dial(address string, deadline time.Time) (*client, error) {
	conn, err := net.DialTimeout("tcp4", address, time.Until(deadline))
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn.(*net.TCPConn)}
	c.conn.SetDeadline(deadline)
	c.conn.SetLinger(0) // leave no ports in TIME_WAIT to the next run
	return c, nil
}

// get makes one request and reads the complete answer.
func (c *client) get() error {
	if _, err := io.WriteString(c.conn, protocol.Request); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.conn, c.answer[:]); err != nil {
		return err
	}
	if string(c.answer[:]) != protocol.Answer {
		return fmt.Errorf("wrong answer %q", c.answer[:])
	}
	return nil
}

// getOnce makes one request on a connection of its own.
func getOnce(address string) error {
	c, err := dial(address, time.Now().Add(patience))
	if err != nil {
		return err
	}
	defer c.conn.Close()
	return c.get()
}

// getUntil makes one request after the other until ctx ends, each on its own connection or
// all on one. It returns how many, and the time of the longest.
func getUntil(ctx context.Context, address string, keepalive bool) (count int, longest time.Duration, err error) {
	var c *client
	for ctx.Err() == nil {
		began := time.Now()
		if c == nil {
			if c, err = dial(address, began.Add(patience)); err != nil {
				return count, longest, err
			}
		}
		err = c.get()
		if !keepalive || err != nil {
			c.conn.Close()
			c = nil
		}
		if err != nil {
			return count, longest, err
		}
		longest = max(longest, time.Since(began))
		count++
	}
	if c != nil {
		c.conn.Close()
	}
	return count, longest, nil
}
