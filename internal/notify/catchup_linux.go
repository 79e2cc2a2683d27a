package notify

import (
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// catchUpTime bounds CatchUp.
const catchUpTime = time.Second

// CatchUp blocks until handle has returned for every message that has been sent so far, for a
// second at most. Datagrams are read in order, so it sends one of its own and waits until
// that is read.
func (l *Listener) CatchUp() {
	mark := "mark=" + strconv.FormatUint(rand.Uint64(), 36)
	read := make(chan struct{})
	l.mu.Lock()
	if l.marks == nil {
		l.marks = map[string]chan struct{}{}
	}
	l.marks[mark] = read
	l.mu.Unlock()
	defer l.forget(mark)
	to, err := net.DialUnix("unixgram", nil, l.conn.LocalAddr().(*net.UnixAddr))
	if err != nil {
		return // closed
	}
	defer to.Close()
	_ = to.SetWriteDeadline(time.Now().Add(catchUpTime)) // its queue may be full
	if _, err := to.Write([]byte(mark)); err != nil {
		return
	}
	select {
	case <-read:
	case <-time.After(catchUpTime):
	}
}

// isMark tells whether a message of this process is one that CatchUp has sent.
func (l *Listener) isMark(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	read, ok := l.marks[text]
	if ok {
		close(read)
		delete(l.marks, text)
	}
	return ok
}

func (l *Listener) forget(mark string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.marks, mark)
}
