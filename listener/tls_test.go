package listener

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificate makes a certificate for 127.0.0.1, in files, and a pool for clients to trust it.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", key), pool
}

// serveTLS serves on n listeners until the test ends, or stop is called.
func serveTLS(t *testing.T, s *Server, n int) (listeners []net.Listener, pool *x509.CertPool, stop func()) {
	t.Helper()
	certFile, keyFile, pool := certificate(t)
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		listeners = append(listeners, ln)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.ServeTLS(ctx, certFile, keyFile, listeners...) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-served)
	})
	return listeners, pool, cancel
}

func TestServeTLSSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	s := &Server{HTTP: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })}}
	listeners, pool, _ := serveTLS(t, s, 2)
	for _, ln := range listeners {
		for _, http2 := range []bool{true, false} {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: http2, DisableKeepAlives: true}}
			res, err := client.Get("https://" + ln.Addr().String())
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[http2], string(body))
		}
	}
}

func TestServeTLSWithoutACertificate(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorIs(t, (&Server{}).ServeTLS(t.Context(), "no such file", "nor this", ln), os.ErrNotExist)
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

// An HTTP/2 connection that has sent no request is not cut, unlike one of HTTP/1.1: its
// client could not know whether its first request was read. It gets a GOAWAY.
func TestHTTP2ConnectionThatIsIdleHearsOfTheDrain(t *testing.T) {
	t.Parallel()
	active := make(chan struct{}, 2)
	s := &Server{IdleGrace: -1, HTTP: &http.Server{ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateIdle {
			active <- struct{}{}
		}
	}}}
	listeners, pool, stop := serveTLS(t, s, 1)
	conn, err := tls.Dial("tcp", listeners[0].Addr().String(), &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(15 * time.Second))
	const settings, goAway = 4, 7
	_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+string([]byte{0, 0, 0, settings, 0, 0, 0, 0, 0}))
	require.NoError(t, err)
	<-active
	stop()
	for r := bufio.NewReader(conn); ; {
		var head [9]byte
		_, err := io.ReadFull(r, head[:])
		require.NoError(t, err, "the connection ends without a GOAWAY")
		if head[3] == goAway {
			break
		}
		_, err = r.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
		require.NoError(t, err)
	}
}
