// Package wire is what the superdaemon and start_server_probe say to each other: requests
// and answers over a pair of unix stream sockets. A frame is a length and then texts, each
// with its own length. The descriptors of a request come with its first bytes.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// version begins every frame. It changes with the format: the two programs may be of
// different releases.
const version = "1"

const (
	// MaxRequest bounds a request, in bytes. The longest text in it is a command, of which
	// execve(2) takes up to 128 KiB.
	MaxRequest = 512 << 10
	// MaxAnswer bounds an answer, in bytes.
	MaxAnswer = 4 << 10
	// MaxReason bounds the reason in an answer, in bytes.
	MaxReason = 400
	// MaxDescriptors is how many descriptors may come with a request.
	MaxDescriptors = 4096
)

// Kind is what is asked for.
type Kind string

// The kinds of requests.
const (
	HTTP   Kind = "http"   // a GET over the descriptor
	HTTPS  Kind = "https"  // the same by TLS
	Exec   Kind = "exec"   // a command, which gets the descriptors from 3 on
	Cancel Kind = "cancel" // the request of that ID is not of interest any more
)

// Request asks for one try of a probe.
type Request struct {
	ID      uint32
	Kind    Kind
	Timeout time.Duration // of the try; only whole milliseconds are sent

	Host, Path string   // of HTTP and HTTPS: the Host header, and what is asked for
	Command    string   // of Exec, for sh -c
	Env        []string // of Exec, besides the environment of start_server_probe

	Descriptors int // how many come with it
}

// Result is how a try went.
type Result string

// The results.
const (
	Passed Result = "passed"
	Failed Result = "failed"
	Late   Result = "late" // the time was over
)

// Hello is the ID of the first answer, which comes unasked: the process is there.
const Hello = 0

// Answer tells how a try went. Each request but Cancel has one.
type Answer struct {
	ID     uint32
	Result Result
	Reason string // why it failed, without the probe's own text
}

// Encode returns the frame of a request. The error says that it is too long.
func (r *Request) Encode() ([]byte, error) {
	frame := encode(append([]string{
		version, number(int64(r.ID)), string(r.Kind), number(r.Timeout.Milliseconds()), number(int64(r.Descriptors)),
		r.Host, r.Path, r.Command,
	}, r.Env...))
	if len(frame) > MaxRequest {
		return nil, fmt.Errorf("a request of %d bytes is too long; %d fit", len(frame), MaxRequest)
	}
	return frame, nil
}

// DecodeRequest reads what ReadFrame has returned.
func DecodeRequest(payload []byte) (r Request, err error) {
	texts, err := decode(payload, 8)
	if err != nil {
		return r, err
	}
	id, err := parse(texts[1], 1<<32-1)
	if err != nil {
		return r, err
	}
	milliseconds, err := parse(texts[3], 1<<40)
	if err != nil {
		return r, err
	}
	descriptors, err := parse(texts[4], MaxDescriptors)
	if err != nil {
		return r, err
	}
	r = Request{
		ID: uint32(id), Kind: Kind(texts[2]), Timeout: time.Duration(milliseconds) * time.Millisecond,
		Descriptors: int(descriptors), Host: texts[5], Path: texts[6], Command: texts[7], Env: texts[8:],
	}
	switch r.Kind {
	case HTTP, HTTPS, Exec, Cancel:
		return r, nil
	}
	return r, fmt.Errorf("kind %.20q is not known", r.Kind)
}

// Encode returns the frame of an answer. A reason beyond MaxReason is cut.
func (a *Answer) Encode() []byte {
	return encode([]string{version, number(int64(a.ID)), string(a.Result), a.Reason[:min(len(a.Reason), MaxReason)]})
}

// DecodeAnswer reads what ReadFrame has returned. The reason is as it came, in bytes that
// need not be printable.
func DecodeAnswer(payload []byte) (a Answer, err error) {
	texts, err := decode(payload, 4)
	if err != nil {
		return a, err
	}
	id, err := parse(texts[1], 1<<32-1)
	if err != nil {
		return a, err
	}
	a = Answer{ID: uint32(id), Result: Result(texts[2]), Reason: texts[3]}
	switch {
	case len(texts) > 4:
		return a, fmt.Errorf("%d texts are too many", len(texts))
	case len(a.Reason) > MaxReason:
		return a, fmt.Errorf("a reason of %d bytes is too long", len(a.Reason))
	case a.Result != Passed && a.Result != Failed && a.Result != Late:
		return a, fmt.Errorf("result %.20q is not known", a.Result)
	}
	return a, nil
}

// ReadFrame reads a frame, and returns what follows its length. It blocks until all of it
// is there. The error is io.EOF at the end, and something else in the middle of a frame or
// if the frame is longer than limit.
func ReadFrame(r io.Reader, limit int) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if uint64(length)+4 > uint64(limit) {
		return nil, fmt.Errorf("a frame of %d bytes is too long", length)
	}
	payload := make([]byte, length)
	_, err := io.ReadFull(r, payload)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return payload, err
}

func encode(texts []string) []byte {
	frame := make([]byte, 4, 256)
	for _, text := range texts {
		frame = append(binary.BigEndian.AppendUint32(frame, uint32(len(text))), text...)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

// decode returns the texts of a frame. Fewer than least are an error.
func decode(payload []byte, least int) (texts []string, err error) {
	for len(payload) > 0 {
		if len(payload) < 4 {
			return nil, errCut
		}
		length := binary.BigEndian.Uint32(payload)
		payload = payload[4:]
		if uint64(length) > uint64(len(payload)) {
			return nil, errCut
		}
		texts = append(texts, string(payload[:length]))
		payload = payload[length:]
		if texts[0] != version {
			return nil, fmt.Errorf("it is of version %.20q of the format, not %s", texts[0], version)
		}
	}
	if len(texts) < least {
		return nil, errCut
	}
	return texts, nil
}

var errCut = errors.New("the frame does not hold what it says")

func number(n int64) string { return strconv.FormatInt(n, 10) }

func parse(text string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%.20q is not a number from 0 to %d", text, most)
	}
	return n, nil
}
