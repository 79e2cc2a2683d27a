//go:build unix

package prober

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/probe/wire"
)

const (
	maxHeader = 64 << 10 // of an answer, in bytes
	maxBody   = 4096     // what is read of an answer's body, in bytes
	maxLine   = 200      // what is told of it, in bytes
)

// get asks for a page over a connection. Every answer of 2xx and 3xx is a pass; its body is
// not read.
func (s *server) get(ctx context.Context, r *wire.Request, connection *os.File) wire.Answer {
	conn, err := net.FileConn(connection)
	if err != nil {
		return failed("%v", err)
	}
	defer conn.Close()
	transport := over(conn)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, string(r.Kind)+"://"+r.Host+r.Path, nil)
	if err != nil {
		return failed("%v", err)
	}
	request.Header.Set("User-Agent", s.agent)
	response, err := transport.RoundTrip(request) // an http.Client would fail if a redirect has a bad address
	if err != nil {
		return whyNoAnswer(ctx, err)
	}
	defer response.Body.Close()
	if code := response.StatusCode; code >= 200 && code < 400 {
		return wire.Answer{Result: wire.Passed}
	}
	if line := firstLine(response.Body); line != "" {
		return failed("status %d: %s", response.StatusCode, line)
	}
	return failed("status %d", response.StatusCode)
}

// over sends all its requests over one connection. It does not check the certificate: the
// connection itself says which worker answers.
func over(conn net.Conn) *http.Transport {
	connections := make(chan net.Conn, 1)
	connections <- conn
	return &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			select {
			case conn := <-connections:
				return conn, nil
			default:
				return nil, errClosed
			}
		},
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

var errClosed = errors.New("the connection was closed")

// whyNoAnswer puts an error of a request into words.
func whyNoAnswer(ctx context.Context, err error) wire.Answer {
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || errors.As(err, &network) && network.Timeout() {
		return wire.Answer{Result: wire.Late}
	}
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, errClosed} {
		if errors.Is(err, closed) {
			return failed("%v", errClosed)
		}
	}
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) {
		return failed("the answer is not TLS")
	}
	reason := err.Error()
	if _, cause, ok := strings.Cut(reason, "transport connection broken: "); ok {
		reason = cause
	}
	if strings.Contains(reason, "server closed idle connection") { // before anything was asked
		return failed("%v", errClosed)
	}
	return failed("%s", cut(strings.TrimPrefix(reason, "net/http: ")))
}

// firstLine is the first line of a body that is not empty, as far as that comes in time.
func firstLine(body io.Reader) string {
	begin := make([]byte, maxBody)
	n, _ := io.ReadFull(body, begin)
	for line := range bytes.Lines(begin[:n]) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return cut(string(line))
		}
	}
	return ""
}

// cut cuts a text that is too long, between characters. start_server makes it printable.
func cut(s string) string {
	if len(s) <= maxLine {
		return s
	}
	return strings.ToValidUTF8(s[:maxLine], "") + "…"
}
