package notify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"golang.org/x/sys/unix"
)

// Listener is the socket. A goroutine reads from it until Close.
type Listener struct {
	conn  *net.UnixConn
	dir   string // that holds the socket; "": it is an abstract one
	aside *fd.Aside
	once  sync.Once     // Close
	done  chan struct{} // closed by Close; nil: nothing is read yet

	handle  Handler
	reading sync.Mutex // held while a message is read and handled, and from Hand on
	ended   bool       // read has returned, after Hand or Close
	hearing context.Context
	deafen  context.CancelFunc // ends hearing
	unheard []supervise.Notice // not handled since then

	mu    sync.Mutex
	marks map[string]chan struct{} // sent by CatchUp, each closed when it is read
}

// maxMessage is how many bytes of a datagram are read; systemd has the same limit.
const maxMessage = 4096

// maxDepth bounds the number of a sender's ancestors.
const maxDepth = 64

// Listen makes the socket, and calls handle for every message, from one goroutine, until
// Close. While handle blocks, senders may block. With others, users other than ours can
// reach the socket.
func Listen(others bool, handle Handler) (*Listener, error) {
	l, err := bindIn(places(), others)
	if l == nil { // a container image may have no directory for it
		l, err = bindAbstract()
	}
	if err == nil {
		err = l.passCredentials()
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("notify socket: %w", err)
	}
	l.start(handle)
	go l.read()
	return l, nil
}

func (l *Listener) start(handle Handler) {
	l.aside, l.done, l.handle = fd.NewAside(), make(chan struct{}), handle
	l.hear()
}

// hear begins the time in which messages are handled. Hand ends it.
func (l *Listener) hear() {
	l.hearing, l.deafen = context.WithCancel(context.Background())
	l.unheard = nil
}

// tell gives a message to handle, or keeps it for the next image.
func (l *Listener) tell(m supervise.Notice) {
	if l.handle(l.hearing, m) != nil && l.hearing.Err() != nil {
		l.unheard = append(l.unheard, m)
	}
}

// open tells whether any user may enter a directory and all those above it.
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

// Close stops listening and removes the socket.
func (l *Listener) Close() error {
	if l == nil {
		return nil
	}
	switch {
	case l.done != nil:
		l.once.Do(func() {
			close(l.done)
			l.aside.Do(func() { l.conn.Close() }) // which frees what was passed and not read
		})
	case l.conn != nil:
		l.conn.Close()
	}
	if l.dir == "" {
		return nil
	}
	return os.RemoveAll(l.dir)
}

// passCredentials has the kernel add the sender's pid to each datagram (SO_PASSCRED,
// unix(7)).
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

func (l *Listener) read() {
	text := make([]byte, maxMessage)
	control := make([]byte, 4096)
	var pace pace
	for {
		l.reading.Lock()
		n, controls, _, _, err := l.conn.ReadMsgUnix(text, control)
		if err != nil { // closed, or handed over
			l.ended = true
			l.reading.Unlock()
			return
		}
		// The ancestors are looked up at once, as a sender may end at any moment. One that
		// sends a descriptor as a barrier, as systemd-notify(1) does, stays until we
		// close that.
		pid, fds := sender(control[:controls])
		marked := pid == os.Getpid() && l.isMark(string(text[:n]))
		if pid > 0 && !marked {
			m := parse(string(text[:n]))
			m.Pids = Ancestors(pid)
			l.tell(m)
		}
		l.reading.Unlock()
		if marked {
			continue
		}
		if len(fds) > 0 {
			l.discard(fds)
		}
		pace.wait(pid, l.done)
	}
}

// discard closes descriptors that were passed to us. systemd-notify(1) passes one as a
// barrier, so they are refused only after closing them was held up.
func (l *Listener) discard(fds []int) {
	l.aside.Do(func() { fd.ClosePassed(fds) })
	if l.aside.Full() && l.refuseRights() != nil {
		l.aside.Wait(l.done)
	}
}

func (l *Listener) refuseRights() error {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Control(func(n uintptr) { result = fd.RefuseRights(int(n)) })
	return errors.Join(err, result)
}

// sender finds the sender's pid, and the descriptors that it has sent, in the control
// message of a datagram.
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

// Ancestors are pid, its parent and so on up to our own child, as far as they still
// exist.
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
