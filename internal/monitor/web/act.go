package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
)

// Commands are what the monitor may be allowed to ask of superdaemons.
var Commands = []string{"restart", "stop", "rollback", "promote", "workers"}

// Header has to be in each request that asks for something. A page of another site cannot send it
// without a CORS preflight, which we do not answer.
const Header = "X-Start-Server-Monitor"

const (
	maxBody    = 4 << 10          // bytes
	actTime    = 15 * time.Minute // for a superdaemon to do what it is asked
	dialTime   = 5 * time.Second
	maxRunning = 32 // requests that superdaemons carry out at a time
	maxOfOne   = 2  // requests that one superdaemon carries out at a time
)

// running counts the requests that are being carried out.
type running struct {
	mu  sync.Mutex
	all int
	of  map[string]int // by the superdaemon's control socket
}

// begin counts one more request, if there is room for it.
func (r *running) begin(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all >= maxRunning || r.of[path] >= maxOfOne {
		return false
	}
	r.all++
	r.of[path]++
	return true
}

func (r *running) end(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.of[path]--; r.of[path] == 0 {
		delete(r.of, path)
	}
}

// asked is the body of a request.
type asked struct {
	Control string `json:"control"`
	Workers int    `json:"workers"`
}

// answered is the answer to it.
type answered struct {
	OK         bool     `json:"ok"`
	Error      string   `json:"error,omitempty"`
	Message    string   `json:"message,omitempty"`
	Generation int      `json:"generation,omitempty"`
	Log        []string `json:"log,omitempty"`
}

// refusal is why nothing was asked of a superdaemon.
type refusal struct {
	code int
	why  string
}

func (r *refusal) Error() string { return r.why }

// act asks something of a superdaemon, and answers when that is done.
func (s *Site) act(w http.ResponseWriter, r *http.Request, command string) {
	w.Header().Set("Content-Type", "application/json")
	ask, err := s.admit(r, command)
	if err != nil {
		code := http.StatusBadRequest
		var refused *refusal
		if errors.As(err, &refused) {
			code = refused.code
		}
		w.WriteHeader(code)
		reply(w, answered{Error: err.Error()})
		return
	}
	if !s.running.begin(ask.Control) {
		w.WriteHeader(http.StatusTooManyRequests)
		reply(w, answered{Error: "it is busy with what was asked before"})
		return
	}
	defer s.running.end(ask.Control)
	s.Log("%s: %s asked for by %s", ask.Control, command, r.RemoteAddr)
	deadline(w, actTime+answerTime)
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	defer s.Hub.closing(func() { end(errors.New("the monitor ends; what was asked for goes on")) })()
	ctx, cancel := context.WithTimeoutCause(ctx, actTime, fmt.Errorf("it was not done within %v, and goes on", actTime))
	defer cancel()
	answer, err := ask.of(ctx, command)
	result := answered{OK: err == nil, Message: answer.Message, Generation: answer.Generation, Log: answer.Log}
	if err != nil {
		result.Error = err.Error()
		s.Log("%s: %s failed: %v", ask.Control, command, err)
		w.WriteHeader(http.StatusBadGateway)
	}
	reply(w, result)
}

func reply(w http.ResponseWriter, a answered) { _ = json.NewEncoder(w).Encode(a) }

// of asks the superdaemon, and blocks until it has answered.
func (a asked) of(ctx context.Context, command string) (control.Answer, error) {
	dialing, cancel := context.WithTimeoutCause(ctx, dialTime, errors.New("it does not answer"))
	defer cancel()
	c, err := control.Dial(dialing, a.Control)
	if err != nil {
		return control.Answer{}, err
	}
	defer c.Close()
	request := control.Request{Command: command}
	if command == "workers" {
		request.Workers = a.Workers
	}
	answer, err := c.Do(ctx, request, nil)
	if command == "stop" && errors.Is(err, io.EOF) {
		err = nil // it is gone
	}
	return answer, err
}

// admit returns what is asked for, or why it is refused.
func (s *Site) admit(r *http.Request, command string) (asked, error) {
	var a asked
	if err := s.trusted(r, command); err != nil {
		return a, err
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return a, &refusal{http.StatusUnsupportedMediaType, "the request is not of application/json"}
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&a); err != nil {
		return a, &refusal{http.StatusBadRequest, "the request is no JSON object with \"control\""}
	}
	switch {
	case !s.Source.Knows(a.Control):
		return a, &refusal{http.StatusNotFound, "there is no such superdaemon"}
	case command == "workers" && (a.Workers < 1 || a.Workers > 10000):
		return a, &refusal{http.StatusBadRequest, "\"workers\" is not a number from 1 to 10000"}
	}
	return a, nil
}

// origins refuses what a browser sends for a page of another site. It goes by Sec-Fetch-Site or, if
// that is missing, by Origin.
var origins = http.NewCrossOriginProtection()

// trusted returns nil if the client may ask for the command, and else why not.
func (s *Site) trusted(r *http.Request, command string) error {
	switch {
	case !slices.Contains(s.Allow, command):
		return &refusal{http.StatusForbidden, command + " is not allowed: see --allow"}
	case origins.Check(r) != nil:
		return &refusal{http.StatusForbidden, "the request is of another site"}
	case r.Header.Get(Header) == "":
		return &refusal{http.StatusForbidden, "the header " + Header + " is missing"}
	}
	token, err := s.Token()
	if err != nil {
		s.Log("%v", err)
		return &refusal{http.StatusInternalServerError, "the token cannot be read: the monitor's log tells why"}
	}
	given, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !is || !same(given, token) {
		return &refusal{http.StatusUnauthorized, "the token is wrong"}
	}
	return nil
}

// same compares two strings in a time that tells nothing of either.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
