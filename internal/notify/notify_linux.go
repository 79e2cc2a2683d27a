package notify

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// Listener is the socket, and the goroutine that reads it.
type Listener struct {
	conn *net.UnixConn
	dir  string // of the socket; "": it is abstract

	mu    sync.Mutex
	marks map[string]chan struct{} // sent by CatchUp, each closed when it is read
}

// catchUpTime bounds CatchUp.
const catchUpTime = time.Second

// maxMessage is what is read of a datagram; systemd's own limit.
const maxMessage = 4096

// maxDepth bounds how far up a sender's ancestors are looked for.
const maxDepth = 64

// Listen makes the socket, and calls handle for every message, from one
// goroutine, until Close. handle should not block: senders would. With others it is
// where other users than ours can reach it.
func Listen(others bool, handle func(Message)) (*Listener, error) {
	dir := os.TempDir()
	if others && !open(dir) {
		dir = "/tmp" // TMPDIR is for us alone
	}
	l, err := bindFile(dir)
	if err != nil || others && !open(dir) {
		l.Close() // no directory for it, as in an image that holds the program only
		l, err = bindAbstract()
	}
	if err == nil {
		err = l.passCredentials()
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("notify socket: %w", err)
	}
	go l.read(handle)
	return l, nil
}

// bindFile makes a socket that anybody may write to, workers that run as
// another user too, in a directory that nobody else may list. Puma, of those
// that say they are ready, knows of no abstract names.
func bindFile(in string) (*Listener, error) {
	dir, err := os.MkdirTemp(in, "start_server-")
	if err != nil {
		return nil, err
	}
	l := &Listener{dir: dir}
	path := filepath.Join(dir, "notify")
	if l.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err == nil {
		err = errors.Join(os.Chmod(path, 0o666), os.Chmod(dir, 0o711))
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// open tells that anybody may go through a directory, and all above it.
func open(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&1 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func bindAbstract() (*Listener, error) {
	name := "@start_server/" + strconv.Itoa(os.Getpid()) + "/" + strconv.FormatUint(rand.Uint64(), 36)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &Listener{conn: conn}, nil
}

// Addr is the value for NOTIFY_SOCKET.
func (l *Listener) Addr() string { return l.conn.LocalAddr().String() }

// Close ends the listening, and removes the socket.
func (l *Listener) Close() error {
	if l == nil {
		return nil
	}
	var faults []error
	if l.conn != nil {
		faults = append(faults, l.conn.Close())
	}
	if l.dir != "" {
		faults = append(faults, os.RemoveAll(l.dir))
	}
	return errors.Join(faults...)
}

// passCredentials has the kernel tell who sends (unix(7), SO_PASSCRED).
func (l *Listener) passCredentials() error {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Control(func(fd uintptr) {
		result = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt(SO_PASSCRED)", result)
}

func (l *Listener) read(handle func(Message)) {
	text := make([]byte, maxMessage)
	control := make([]byte, 4096)
	for {
		n, controls, _, _, err := l.conn.ReadMsgUnix(text, control)
		if err != nil {
			return // closed
		}
		// First of all who it was: a sender may be gone any moment. One that
		// waits for its barrier, as systemd-notify(1) does, is here until its
		// descriptors are closed.
		pid, fds := sender(control[:controls])
		if pid == os.Getpid() && l.isMark(string(text[:n])) {
			continue
		}
		if pid > 0 {
			m := parse(string(text[:n]))
			m.Pids = Ancestors(pid)
			handle(m)
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

// CatchUp blocks until handle has returned for every message that has been sent so far,
// but for a second at most: datagrams are read in order, so it sends one of its own and
// waits until that is read.
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

// isMark tells that a message of ours is one that CatchUp has sent.
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

// sender takes apart what came beside the text.
func sender(control []byte) (pid int, fds []int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0, nil
	}
	for _, m := range messages {
		if credentials, err := unix.ParseUnixCredentials(&m); err == nil {
			pid = int(credentials.Pid)
		} else if passed, err := unix.ParseUnixRights(&m); err == nil {
			fds = append(fds, passed...)
		}
	}
	return pid, fds
}

// Ancestors are pid, its parent and so on up to our own child, as far as they
// still are there.
func Ancestors(pid int) []int {
	var pids []int
	for self := os.Getpid(); pid > 1 && pid != self && len(pids) < maxDepth; {
		pids = append(pids, pid)
		stat, err := fd.ReadStat(pid)
		if err != nil {
			break
		}
		pid = stat.Parent
	}
	return pids
}
