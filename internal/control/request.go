package control

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// parseRequest reads a line from a client: a JSON object, or what the client of Ruby's
// einhorn sends.
func parseRequest(line string) (Request, error) {
	line = strings.TrimSpace(line)
	if !utf8.ValidString(line) {
		return Request{}, errors.New("not a request: it is not UTF-8")
	}
	if isEinhorns(line) {
		return parseEinhorn(line)
	}
	r, err := decodeRequest(line)
	if err != nil {
		return r, fmt.Errorf("not a request: %.200s", text.Line(err.Error()))
	}
	if r.Version != 0 && r.Version != Version {
		return r, fmt.Errorf("version %d of the protocol is not spoken here: %d is", r.Version, Version)
	}
	return r, nil
}

// isEinhorns reports whether a line comes from einhorn's client: it is not a JSON object.
func isEinhorns(line string) bool { return !strings.HasPrefix(strings.TrimSpace(line), "{") }

// parseEinhorn reads what einhorn's own client sends: a mapping in YAML with "%" and
// newline escaped as in a URL, such as
//
//	---%0Acommand: worker:ack%0Apid: 1234%0A
//
// (einhorn, lib/einhorn/client.rb, Transport.serialize_message). That client sends only
// plain scalars and lists of them. Nothing else of YAML is understood, so that a hostile
// client gets no further.
func parseEinhorn(line string) (Request, error) {
	mapping := strings.ReplaceAll(strings.ReplaceAll(line, "%0A", "\n"), "%25", "%")
	var r Request
	listed := false // the arguments follow, a line each
	for field := range strings.Lines(mapping) {
		field = strings.TrimSpace(field)
		if field == "" || field == "---" {
			continue
		}
		if arg, ok := strings.CutPrefix(field, "- "); ok && listed {
			r.Args = append(r.Args, scalar(arg))
			continue
		}
		field = strings.TrimPrefix(field, ":") // of a symbol in Ruby
		if listed = field == "args:"; listed {
			continue
		}
		key, value, ok := strings.Cut(field, ": ")
		if !ok {
			return Request{}, fmt.Errorf("not a request: %.40q is neither a JSON object nor a key and its value", field)
		}
		switch {
		case key == "command":
			r.Command = scalar(value)
		case key == "args" && strings.TrimSpace(value) != "[]":
			return Request{}, fmt.Errorf("not a request: the arguments %.40q do not stand below each other, a line each", value)
		}
	}
	if r.Command == "" {
		return Request{}, fmt.Errorf("not a request: %.40q names no command", line)
	}
	return r, nil
}

// scalar returns a YAML string without its quotes, if it has any.
func scalar(value string) string { return strings.Trim(value, `"'`) }

// SignalName is the signal that a request names, in "signal" or, from einhorn's clients,
// as the only argument; "": it names none.
func (r *Request) SignalName() (string, error) {
	switch {
	case r.Signal != "" || len(r.Args) == 0:
		return r.Signal, nil
	case len(r.Args) > 1:
		return "", fmt.Errorf("one signal at a time, and not %d", len(r.Args))
	}
	return r.Args[0], nil
}
