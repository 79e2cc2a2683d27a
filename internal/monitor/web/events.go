package web

import (
	"encoding/json"
	"net/http"
	"time"
)

// beat is how often a stream sends something, so that proxies and browsers see that it is alive.
const beat = 15 * time.Second

// events is the stream (server-sent events): "everything" first, as /api/status has it, then
// the last events, and then what happens.
func (s *Site) events(w http.ResponseWriter, r *http.Request) {
	c := s.Hub.join()
	if c == nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many follow already", http.StatusServiceUnavailable)
		return
	}
	defer s.Hub.leave(c)
	s.Source.Refresh(r.Context())
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // for nginx
	stream := &stream{w: w, control: http.NewResponseController(w)}
	_ = stream.control.SetReadDeadline(time.Time{}) // nothing more is to be read
	// The client does not get what was passed on before it joined: so everything has to be as new.
	everything := s.everything(s.Hub.states.Load())
	if err := stream.send(s.Hub.message("everything", json.RawMessage(everything), 0)); err != nil {
		return
	}
	for _, e := range s.Source.Recent(s.Hub.last(r.Header.Get("Last-Event-ID"))) {
		if err := stream.send(s.Hub.message("happened", e, e.Seq)); err != nil {
			return
		}
	}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		var err error
		select {
		case m := <-c.messages:
			err = stream.send(m)
		case <-ticker.C:
			err = stream.send(message{text: []byte(": still here\n\n")})
		case <-c.slow:
			return
		case <-s.Hub.open.Done():
			return
		case <-r.Context().Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// stream is what one client gets.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	last    uint64 // event that was sent
}

// send writes a message, unless it is an event that was sent. The client has answerTime to
// read it.
func (s *stream) send(m message) error {
	if m.seq > 0 && m.seq <= s.last {
		return nil
	}
	s.last = max(s.last, m.seq)
	_ = s.control.SetWriteDeadline(time.Now().Add(answerTime))
	if _, err := s.w.Write(m.text); err != nil {
		return err
	}
	return s.control.Flush()
}
