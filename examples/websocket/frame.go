package main

import (
	"encoding/binary"
	"errors"
	"io"
)

// The kinds of frames (RFC 6455, 5.2), all in one piece.
const (
	text    = 1
	data    = 2
	closing = 8
	ping    = 9
	pong    = 10

	final  = 0x80 // of the first byte
	masked = 0x80 // of the second
	long   = 126  // as a length: two bytes with the length follow
)

// goingAway is the payload of a close frame by a server that restarts.
var goingAway = []byte{1001 >> 8, 1001 & 0xff}

// read reads a frame of a client, which masks its payload. It accepts only messages in one
// frame, of less than 64 KiB. A real server would use a library, and accept more.
func (s *socket) read() (kind byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(head[1] &^ masked)
	if head[0]&final == 0 || head[1]&masked == 0 || n > long {
		return 0, nil, errors.New("such a frame is not for this example")
	}
	if n == long {
		var length [2]byte
		if _, err := io.ReadFull(s.r, length[:]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(length[:]))
	}
	frame := make([]byte, 4+n)
	if _, err := io.ReadFull(s.r, frame); err != nil {
		return 0, nil, err
	}
	key, payload := frame[:4], frame[4:]
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return head[0] &^ final, payload, nil
}

// write writes a frame, and nothing after a close frame. It blocks while the client does not
// read, but not beyond the limit of the drain.
func (s *socket) write(kind byte, payload []byte) error {
	frame := []byte{final | kind, byte(len(payload))}
	if len(payload) >= long {
		frame = binary.BigEndian.AppendUint16([]byte{final | kind, long}, uint16(len(payload)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closes {
		return nil
	}
	s.closes = kind == closing
	_, err := s.Write(append(frame, payload...))
	return err
}
