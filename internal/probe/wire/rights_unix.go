//go:build unix

package wire

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// batch is how many descriptors are sent at once; Linux takes up to 253 (SCM_MAX_FD).
const batch = 64

// Send sends a frame and its descriptors, which stay the caller's. It blocks until all is
// sent, or until the deadline for writing. If it fails, sent tells how much of the frame was
// sent: after a part of it nothing else can be sent.
func Send(conn *net.UnixConn, frame []byte, fds []int) (sent int, err error) {
	for sent < len(frame) {
		now := fds[:min(batch, len(fds))]
		length := len(frame) - sent
		if len(fds) > batch {
			length = 1 // there are more bytes than batches
		}
		var rights []byte
		if len(now) > 0 {
			rights = unix.UnixRights(now...)
		}
		n, _, err := conn.WriteMsgUnix(frame[sent:sent+length], rights, nil)
		sent += n
		if err != nil {
			return sent, err
		}
		fds = fds[len(now):]
	}
	return sent, nil
}

// Reader reads from a connection, and keeps the descriptors that come with the bytes.
type Reader struct {
	Conn *net.UnixConn
	fds  []int
}

// Read is io.Reader's.
func (r *Reader) Read(p []byte) (int, error) {
	rights := make([]byte, unix.CmsgSpace(4*batch))
	n, length, flags, _, err := r.Conn.ReadMsgUnix(p, rights)
	if err == nil && length > 0 {
		err = r.keep(rights[:length])
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = errors.New("not all descriptors could be received: there may be too many")
	}
	return n, err
}

func (r *Reader) keep(rights []byte) error {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return err
		}
		r.fds = append(r.fds, fds...)
	}
	return nil
}

// Take returns the first n descriptors that have come, which are then the caller's to
// close. The error says that there are fewer.
func (r *Reader) Take(n int) ([]int, error) {
	if n > len(r.fds) {
		return nil, errors.New("descriptors are missing")
	}
	taken := r.fds[:n:n]
	r.fds = r.fds[n:]
	return taken, nil
}
