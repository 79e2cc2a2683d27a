//go:build unix

// Package prober is start_server_probe: it tries the probes that the superdaemon asks for,
// each over a connection that comes with the request.
package prober

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/lestrrat/go-server-starter/internal/probe/wire"
	"github.com/lestrrat/go-server-starter/internal/text"
	"golang.org/x/sys/unix"
)

// Serve carries out the requests that come over the unix socket stdin, which it takes over. It
// blocks until the superdaemon closes the socket and all tries under way have ended. agent is
// the User-Agent of requests. The error says that stdin is no such socket, or that what came
// is no request.
func Serve(stdin *os.File, agent string) error {
	conn, err := net.FileConn(stdin)
	if err != nil {
		return fmt.Errorf("stdin is not a socket of start_server, which runs this when it is needed")
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return errors.New("stdin is not a unix socket of start_server, which runs this when it is needed")
	}
	defer unixConn.Close()
	stdin.Close()
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{conn: unixConn, agent: agent, tries: map[uint32]context.CancelFunc{}}
	s.answer(wire.Hello, wire.Answer{Result: wire.Passed})
	err = s.serve(ctx)
	cancel()
	s.all.Wait()
	return err
}

type server struct {
	conn  *net.UnixConn
	agent string
	all   sync.WaitGroup // the tries under way

	mu    sync.Mutex // also held while an answer is written
	tries map[uint32]context.CancelFunc
}

func (s *server) serve(ctx context.Context) error {
	reader := &wire.Reader{Conn: s.conn}
	for {
		frame, err := wire.ReadFrame(reader, wire.MaxRequest)
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		var r wire.Request
		if err == nil {
			r, err = wire.DecodeRequest(frame)
		}
		var fds []int
		if err == nil {
			fds, err = reader.Take(r.Descriptors)
		}
		if err != nil {
			return fmt.Errorf("what start_server asks for is not understood: %s", text.Line(err.Error()))
		}
		s.take(ctx, &r, files(fds))
	}
}

func files(fds []int) []*os.File {
	var all []*os.File
	for _, n := range fds {
		all = append(all, os.NewFile(uintptr(n), "connection"))
	}
	return all
}

// take begins a try, or ends one.
func (s *server) take(ctx context.Context, r *wire.Request, connections []*os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Kind == wire.Cancel {
		if cancel := s.tries[r.ID]; cancel != nil {
			cancel()
		}
		closeAll(connections)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	s.tries[r.ID] = cancel
	s.all.Go(func() {
		defer cancel()
		s.answer(r.ID, s.try(ctx, r, connections))
	})
}

func closeAll(all []*os.File) {
	for _, file := range all {
		file.Close()
	}
}

// try carries out a request, and closes the connections.
func (s *server) try(ctx context.Context, r *wire.Request, connections []*os.File) wire.Answer {
	defer closeAll(connections)
	switch {
	case r.Kind == wire.Exec:
		return execute(ctx, r, connections)
	case len(connections) != 1:
		return failed("%d connections came for one request", len(connections))
	}
	return s.get(ctx, r, connections[0])
}

// answer answers. If that fails the superdaemon has gone, which serve finds out.
func (s *server) answer(id uint32, a wire.Answer) {
	a.ID = id
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tries, id)
	_, _ = s.conn.Write(a.Encode())
}

func failed(format string, args ...any) wire.Answer {
	return wire.Answer{Result: wire.Failed, Reason: fmt.Sprintf(format, args...)}
}
