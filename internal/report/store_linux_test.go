package report

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A message that is lost is sent again when there is a reason to look.
func TestStoreIsMadeRightAgain(t *testing.T) {
	t.Parallel()
	specs, err := socket.Parse([]string{"127.0.0.1:0"}, nil)
	require.NoError(t, err)
	set, err := socket.Bind(context.Background(), specs, socket.Options{})
	require.NoError(t, err)
	defer set.Close()
	var sent, logged []string
	var fails error
	m := &Manager{
		send: func(text string) error { sent = append(sent, text); return fails },
		log:  func(format string, args ...any) { logged = append(logged, fmt.Sprintf(format, args...)) },
	}
	s := NewStore(m, func() *socket.Set { return set }, false)
	s.send = func(text string, _ int) error { return m.send(text) }
	s.Begin([]socket.Kept{{Name: "start_server/0/-/old", Ino: 1}})
	look := func() string {
		sent = nil
		s.Hear(supervise.Started{})
		m.queue.Flush()
		return strings.Join(sent, "\n\n")
	}
	const name = "start_server/0/-/tcp+127.0.0.1+0+0+false"
	all := "FDSTOREREMOVE=1\nFDNAME=start_server/0/-/old\n\nFDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0"
	fails = errors.New("nobody reads")
	assert.Equal(t, all, look())
	assert.Equal(t, all, look())
	assert.Equal(t, []string{"sockets cannot be given to the service manager to keep: nobody reads"}, logged)
	fails = nil
	assert.Equal(t, all, look())
	assert.Empty(t, look())
	require.Len(t, s.State(), 1)
	s.Off = true
	assert.Equal(t, "FDSTOREREMOVE=1\nFDNAME="+name, look())
	assert.Empty(t, s.State())
	(*Store)(nil).Begin(nil)
	(*Store)(nil).Sync()
	assert.Empty(t, (*Store)(nil).State())
}

// hears is the next message, and the inodes of the descriptors that come with it.
func hears(t *testing.T, manager *net.UnixConn) (text string, inodes []uint64) {
	t.Helper()
	body, rights := make([]byte, 1000), make([]byte, 1000)
	n, m, _, _, err := manager.ReadMsgUnix(body, rights)
	require.NoError(t, err)
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	require.NoError(t, err)
	for _, message := range messages {
		fds, err := unix.ParseUnixRights(&message)
		require.NoError(t, err)
		for _, fd := range fds {
			inodes = append(inodes, inode(t, fd))
			require.NoError(t, unix.Close(fd))
		}
	}
	return string(body[:n]), inodes
}

func inode(t *testing.T, fd int) uint64 {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(fd, &st))
	return st.Ino
}

// open is how many of our descriptors are of the socket with that inode.
func open(t *testing.T, inode uint64) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); to == fmt.Sprintf("socket:[%d]", inode) {
			n++
		}
	}
	return n
}

// Not parallel: the environment is the process's.

func TestManagerIsGivenTheSocketsThemselves(t *testing.T) {
	manager := notifySocket(t)
	set := bind(t, []string{"127.0.0.1:0", "127.0.0.1:0=7"}, nil)
	s := NewStore(NewManager(nil, nil), func() *socket.Set { return set }, false)
	s.Sync()
	for nth := range 2 {
		text, inodes := hears(t, manager)
		assert.Regexp(t, fmt.Sprintf("^FDSTORE=1\nFDNAME=start_server/%d/-/.*\nFDPOLL=0$", nth), text)
		assert.Equal(t, []uint64{inode(t, ours(set, nth))}, inodes)
	}
	s.Manager.queue.Flush()
	assert.Len(t, s.State(), 2)
	for nth := range 2 {
		assert.Equal(t, 1, open(t, inode(t, ours(set, nth))), "ours, and no copy of it")
	}
	s.Off = true
	s.Sync()
	for nth := range 2 {
		text, inodes := hears(t, manager)
		assert.Regexp(t, fmt.Sprintf("^FDSTOREREMOVE=1\nFDNAME=start_server/%d/-/.*$", nth), text)
		assert.Empty(t, inodes)
	}
}

// A manager that is slow is waited for.
func TestSocketForAManagerThatDoesNotReadYet(t *testing.T) {
	manager := notifySocket(t)
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	fill, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	defer unix.Close(fill)
	full := 0
	for ; err == nil; full++ {
		err = unix.Sendto(fill, []byte("WATCHDOG=1"), 0, &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")})
	}
	require.ErrorIs(t, err, unix.EAGAIN)
	sent := make(chan error, 1)
	go func() { sent <- sendDescriptor("FDSTORE=1", ours(set, 0)) }()
	for range full - 1 {
		text, _ := hears(t, manager)
		require.Equal(t, "WATCHDOG=1", text)
	}
	text, inodes := hears(t, manager)
	assert.Equal(t, "FDSTORE=1", text)
	assert.Equal(t, []uint64{inode(t, ours(set, 0))}, inodes)
	assert.NoError(t, <-sent)
}

func TestSocketForAManagerThatIsGone(t *testing.T) {
	notifySocket(t).Close()
	assert.ErrorIs(t, sendDescriptor("FDSTORE=1", 0), unix.ECONNREFUSED)
	manager := notifySocket(t)
	assert.EqualError(t, sendDescriptor("FDSTORE=1", 1<<20), "sendmsg: bad file descriptor")
	require.NoError(t, manager.SetReadDeadline(time.Now()))
	_, err := manager.Read(make([]byte, 10))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "nothing was sent")
}
