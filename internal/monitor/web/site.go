// Package web shows over HTTP what is known of superdaemons: a page, its data as JSON and as
// a stream of events, and whether all is well. It may pass requests on to superdaemons.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/monitor/collect"
)

const (
	headerTime = 10 * time.Second // for a client to send a request's header
	answerTime = 30 * time.Second // for a client to read an answer, or a part of the stream
	idleTime   = 2 * time.Minute  // between two requests on a connection
	maxHeader  = 16 << 10         // bytes
	cacheTime  = time.Second      // in which everything is encoded once
)

// Source is what is known of superdaemons: a collect.Collector.
type Source interface {
	Refresh(context.Context)
	Views() []collect.View
	Found() []collect.Found
	Recent(seq uint64) []collect.Event
	Knows(control string) bool
	Ready() bool
}

// Config is what a Site needs.
type Config struct {
	Source  Source
	Hub     *Hub
	Metrics http.Handler
	Version string
	// Allow has those of Commands that may be asked of superdaemons. nil: none.
	Allow []string
	// Token returns what a client has to know to ask for something. It is called for each such
	// request.
	Token func() (string, error)
	// Log writes a line.
	Log func(format string, args ...any)
}

// Site is all that is served.
type Site struct {
	Config
	mux     *http.ServeMux
	page    []byte
	running running

	mu      sync.Mutex // guards what follows
	encoded []byte     // everything, as JSON
	at      time.Time  // when it was encoded
	states  uint64     // Hub.states then
}

// New makes a Site.
func New(c Config) (*Site, error) {
	s := &Site{Config: c, mux: http.NewServeMux(), running: running{of: map[string]int{}}}
	if err := s.addAssets(); err != nil {
		return nil, err
	}
	s.mux.Handle("GET /metrics", s.fresh(c.Metrics))
	s.mux.HandleFunc("GET /healthz", s.health)
	s.mux.HandleFunc("GET /readyz", s.ready)
	s.mux.HandleFunc("GET /api/status", s.status)
	s.mux.HandleFunc("GET /api/events", s.events)
	for _, command := range Commands {
		s.mux.HandleFunc("POST /api/"+command, func(w http.ResponseWriter, r *http.Request) { s.act(w, r, command) })
	}
	return s, nil
}

// Server is an HTTP server of the Site with bounds for what clients can cost. Its streams end
// when it is shut down.
func (s *Site) Server() *http.Server {
	srv := &http.Server{Handler: s, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader}
	srv.RegisterOnShutdown(s.Hub.Close)
	return srv
}

// policy is the Content-Security-Policy: scripts and styles are files of ours, and text is
// never taken for HTML.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// headers are sent with every answer.
var headers = map[string]string{
	"Content-Security-Policy":      policy,
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Cache-Control":                "no-store",
}

// ServeHTTP is for an http.Server.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	deadline(w, answerTime)
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		http.Error(w, "this is for pages of this site only", http.StatusForbidden)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// deadline bounds reads and writes of a request from now on.
func deadline(w http.ResponseWriter, d time.Duration) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(d)) // fails for the recorder of a test
	_ = c.SetWriteDeadline(time.Now().Add(d))
}

// fresh asks the superdaemons for their status first.
func (s *Site) fresh(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Source.Refresh(r.Context())
		next.ServeHTTP(w, r)
	})
}

// health answers 200 if all superdaemons are there and serve, else 503 and why not.
func (s *Site) health(w http.ResponseWriter, r *http.Request) {
	s.Source.Refresh(r.Context())
	var why bytes.Buffer
	views := s.Source.Views()
	for _, v := range views {
		if is, because := v.Serving(); !is {
			fmt.Fprintf(&why, "%s: %s\n", v.Control, because)
		}
	}
	if len(views) == 0 {
		found := s.Source.Found()
		if found == nil {
			fmt.Fprintln(&why, "not yet: nothing was looked for so far")
		}
		for _, f := range found {
			fmt.Fprintf(&why, "%s: no superdaemon is there\n", f.Pattern)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if why.Len() > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(why.Bytes())
		return
	}
	fmt.Fprintf(w, "ok: %d serving\n", len(views))
}

// ready answers 200 when it is known of each superdaemon whether it answers.
func (s *Site) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !s.Source.Ready() {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "not yet: some superdaemons have not answered")
		return
	}
	fmt.Fprintln(w, "ok")
}

// status is everything, as JSON.
func (s *Site) status(w http.ResponseWriter, r *http.Request) {
	s.Source.Refresh(r.Context())
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(s.everything(0), '\n'))
}

// everything returns all that is known, as JSON. It is encoded once a second at most, however many
// clients ask, unless it is older than one of the first states messages of the Hub.
func (s *Site) everything(states uint64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.encoded != nil && time.Since(s.at) < cacheTime && s.states >= states {
		return s.encoded
	}
	s.states = s.Hub.states.Load()
	all := struct {
		Version      int             `json:"version"`
		Monitor      string          `json:"monitor"`
		Time         collect.Moment  `json:"time"`
		Allow        []string        `json:"allow"`
		Patterns     []collect.Found `json:"patterns"`
		Superdaemons []collect.View  `json:"superdaemons"`
	}{1, s.Version, collect.Moment{Time: time.Now()}, append([]string{}, s.Allow...), s.Source.Found(), s.Source.Views()}
	text, err := json.Marshal(all)
	if err != nil {
		text = []byte("null")
	}
	s.encoded, s.at = text[:len(text):len(text)], time.Now()
	return s.encoded
}
