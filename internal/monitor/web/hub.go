package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lestrrat/go-server-starter/internal/monitor/collect"
)

const (
	maxClients = 1000 // that follow events
	maxUnread  = 256  // messages that a client has not read; with one more it is dropped
)

// message is a message in the stream of events, as it is sent to every client.
type message struct {
	text []byte
	seq  uint64 // of an event; 0: it is something else
}

// Hub passes on what a Collector tells it to the clients that follow. It never blocks: a
// client that does not keep up is dropped, and may connect again.
type Hub struct {
	epoch   string // of the numbers of events, which begin anew with each process
	count   atomic.Int32
	dropped atomic.Uint64
	states  atomic.Uint64   // number of messages about how things stand
	open    context.Context // ends when the Hub closes
	close   context.CancelFunc

	mu      sync.Mutex // guards what follows
	clients map[*client]bool
}

// client is a client that follows.
type client struct {
	messages chan message
	slow     chan struct{} // closed when it is dropped
}

// NewHub makes a Hub without clients.
func NewHub() *Hub {
	h := &Hub{epoch: rand.Text(), clients: map[*client]bool{}}
	h.open, h.close = context.WithCancel(context.Background())
	return h
}

// Close ends all streams. It does not block.
func (h *Hub) Close() { h.close() }

// closing calls do when the Hub closes, unless stop is called before.
func (h *Hub) closing(do func()) (stop func() bool) { return context.AfterFunc(h.open, do) }

// Clients returns how many follow, and how many were dropped because they did not keep up.
func (h *Hub) Clients() (now int, dropped uint64) { return int(h.count.Load()), h.dropped.Load() }

// Watched is for the Collector.
func (h *Hub) Watched() bool { return h.count.Load() > 0 }

// Changed is for the Collector.
func (h *Hub) Changed(v collect.View) {
	h.states.Add(1) // before it is sent: a client that joins later has to see it in everything
	h.send("superdaemon", v, 0)
}

// Forgotten is for the Collector.
func (h *Hub) Forgotten(control string) {
	h.states.Add(1)
	h.send("forgotten", control, 0)
}

// Happened is for the Collector.
func (h *Hub) Happened(e collect.Event) { h.send("happened", e, e.Seq) }

// send sends a message to all clients.
func (h *Hub) send(kind string, v any, seq uint64) {
	m := h.message(kind, v, seq)
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		select {
		case c.messages <- m:
		default:
			h.dropped.Add(1)
			h.remove(c)
			close(c.slow)
		}
	}
}

// message encodes a message. A newline would end it, and json.Marshal writes none.
func (h *Hub) message(kind string, v any, seq uint64) message {
	text, err := json.Marshal(v)
	if err != nil {
		text = []byte("null")
	}
	id := ""
	if seq > 0 {
		id = fmt.Sprintf("id: %s-%d\n", h.epoch, seq)
	}
	return message{fmt.Appendf(nil, "%sevent: %s\ndata: %s\n\n", id, kind, text), seq}
}

// last returns the number of the last event that a client has seen. id is the header that a
// browser sends when it connects again.
func (h *Hub) last(id string) uint64 {
	epoch, number, _ := strings.Cut(id, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || epoch != h.epoch {
		return 0
	}
	return seq
}

// join adds a client; nil: there are too many.
func (h *Hub) join() *client {
	c := &client{messages: make(chan message, maxUnread), slow: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) >= maxClients {
		return nil
	}
	h.clients[c] = true
	h.count.Add(1)
	return c
}

// leave removes a client.
func (h *Hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(c)
}

// remove removes a client, which may be removed already. The caller holds mu.
func (h *Hub) remove(c *client) {
	if h.clients[c] {
		delete(h.clients, c)
		h.count.Add(-1)
	}
}
