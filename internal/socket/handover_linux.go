package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// Hand is all sockets for the next image, without those that were passed to this program. The
// next image finds these at the descriptors that Sources names, as this one did.
func (s *Set) Hand() []*Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all()
}

func (s *Set) all() []*Held {
	var all []*Held
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		if socket.Taken || socket.fd < 0 {
			continue
		}
		h := &Held{Key: socket.key(), Slotted: socket.Reuseport, Nonblock: socket.Nonblock, Steered: s.options.steered, FDs: append([]int{socket.fd}, *socket.others...)}
		h.Order = socket.split.order
		if socket.Sided {
			h.Having = socket.split.Having
		}
		if socket.file != nil {
			h.Path, h.Dev, h.Ino = socket.file.File()
		} else {
			h.Bound = socket.bound.String()
		}
		all = append(all, h)
	}
	for _, g := range s.gone {
		if g.socket != nil {
			g.Having = g.socket.split.Having
		}
		all = append(all, g.Held)
	}
	return all
}

// Sources are the descriptors that were passed to this program. They must stay open for the
// next image. The error says that one of them is 0, 1 or 2, which cannot be passed on.
func (s *Set) Sources() ([]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []int
	for i := range s.Sockets {
		if socket := &s.Sockets[i]; socket.Taken {
			if socket.Source <= 2 {
				return nil, fmt.Errorf("socket %q: what was passed as descriptor %d cannot be passed on to another image", socket.Text, socket.Source)
			}
			all = append(all, socket.Source)
		}
	}
	return all, nil
}

// adopt takes over a socket that the last image had bound, and gives it the options that are
// asked for now. Without done a new socket has to be bound.
func (s *Socket) adopt(h *Held, o Options) (done bool, err error) {
	s.fd = h.FDs[0]
	if s.Path != "" {
		if isDeaf(s.fd) { // a worker has shut it down
			return false, nil
		}
		s.file, err = s.rebound(h, o)
		if errors.Is(err, fd.ErrLost) {
			return false, nil // clients can reach a new one
		}
		s.Name, s.Addr = s.Path, &net.UnixAddr{Name: s.Path, Net: "unix"}
	} else {
		var addr netip.AddrPort
		if addr, err = netip.ParseAddrPort(h.Bound); err == nil {
			err = s.setName(addr)
		}
		*s.others = h.FDs[1:]
		s.split.order = h.Order
		if s.Sided {
			s.split.Having = h.Having
		}
	}
	if err == nil && s.Reuseport && !h.Slotted {
		err = switchOn(s.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, "SO_REUSEPORT")
	}
	var deaf []int
	for _, n := range h.FDs {
		if err == nil {
			err = s.retune(n)
		}
		switch {
		case err != nil || s.UDP:
		case isDeaf(n):
			deaf = append(deaf, n)
		default:
			err = s.listen(n, o)
		}
	}
	slots := min(o.steered, max(1, s.slots()))
	switch {
	case err != nil:
	case len(deaf) > 0: // a draining worker may have shut a socket down just now
		err = s.revive(deaf, slots, o)
	case !s.UDP && h.Steered == 0 && len(h.FDs) > 1:
		// The sockets come from a superdaemon that was killed. When the last worker that had a
		// socket ended, the kernel moved another one to its place.
		_ = s.learn(s.split.after(len(h.FDs), nil), slots, o)
	}
	if err == nil && !s.Reuseport && h.Slotted {
		_ = s.steer(1) // all new connections go to the socket that all new workers share
		s.stays(o, "keeps SO_REUSEPORT: each running worker has a socket of its own")
	}
	if err == nil && h.Nonblock && !s.Nonblock {
		s.stays(o, "stays nonblocking, which workers that run share")
	}
	return true, err
}

// stays reports what the socket keeps from the last image.
func (s *Socket) stays(o Options, what string) {
	if o.Stays != nil {
		o.Stays(fmt.Sprintf("%s %q %s; a stop and a start ends that", s.kind(), s.Text, what))
	}
}

// rebound is the file of a path. It gets the mode and the owners that are asked for now.
func (s *Socket) rebound(h *Held, o Options) (*fd.Bound, error) {
	uid, gid := s.uid-1, s.gid-1
	if s.Owner == "" {
		uid = os.Geteuid()
	}
	if s.Group == "" {
		gid = groupIn(filepath.Dir(h.Path))
	}
	made, err := fd.Rebound(h.Path, h.Dev, h.Ino, s.mode(), uid, gid)
	if !errors.Is(err, unix.EPERM) {
		return made, err
	}
	if made, err = fd.Rebound(h.Path, h.Dev, h.Ino, s.mode(), s.uid-1, s.gid-1); err == nil {
		s.stays(o, "keeps the owner and the group that it has, which we may not change")
	}
	return made, err
}

// groupIn is the group of a file that is made in a directory.
func groupIn(dir string) int {
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil && st.Mode&unix.S_ISGID != 0 {
		return int(st.Gid)
	}
	return os.Getegid()
}

// retune sets the options of a listening socket, and takes back those that are not asked for any
// more. O_NONBLOCK stays.
func (s *Socket) retune(n int) error {
	if s.Path != "" || s.UDP {
		return s.unblock(n)
	}
	if err := set(n, unix.TCP_NODELAY, s.NoDelay, "TCP_NODELAY"); err != nil {
		return err
	}
	if err := set(n, unix.TCP_DEFER_ACCEPT, s.DeferAccept, "TCP_DEFER_ACCEPT"); err != nil {
		return err
	}
	if had, err := unix.GetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_FASTOPEN); err == nil && had != s.FastOpen && (s.FastOpen > 0 || !fastOpenForAll()) {
		if err := unix.SetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, s.FastOpen); err != nil {
			return os.NewSyscallError("setsockopt(TCP_FASTOPEN)", err)
		}
	}
	return s.unblock(n)
}

// fastOpenForAll tells whether the system gives all sockets a queue of TCP_FASTOPEN (the sysctl
// net.ipv4.tcp_fastopen). That queue is not ours to take away.
func fastOpenForAll() bool {
	const servers, all = 2, 0x400
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_fastopen")
	if err != nil {
		return false
	}
	flags, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && flags&(servers|all) == servers|all
}

// set switches an option of TCP on or off.
func set(n, option int, on bool, name string) error {
	value := 0
	if on {
		value = 1
	}
	return os.NewSyscallError("setsockopt("+name+")", unix.SetsockoptInt(n, unix.IPPROTO_TCP, option, value))
}

// Relinquish closes the sockets of the last image that are not asked for any more, and removes
// their paths. The queue of each ends with the last worker that has the socket.
func (s *Set) Relinquish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.gone {
		if h.Path != "" {
			_ = fd.Known(h.Path, h.Dev, h.Ino).Remove() // a path that is lost already needs no removal
		}
		closeShared(h.FDs)
	}
	s.gone = nil
}

// closeShared closes sockets that workers have, or had. A worker may have shut one down, connected
// it, and set SO_LINGER: close(2) would then block for the linger time. A listening socket keeps
// its SO_LINGER: the connections that workers accept from it inherit its options.
func closeShared(fds []int) {
	for _, n := range fds {
		if isDeaf(n) {
			_ = unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
		}
		unix.Close(n)
	}
}
