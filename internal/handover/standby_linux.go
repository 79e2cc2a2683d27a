package handover

import (
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/text"
	"golang.org/x/sys/unix"
)

// StandBy says, in a rehearsal, that this image could go on. It returns when the image has gone
// on in the process that has asked. TERM and QUIT end that process if they come after the exec and
// before the image catches them. Then StandBy does what they ask for: it stops the workers, and
// removes the files that the process has left behind.
func (s *State) StandBy() {
	words := []byte(knows)
	allFields(reflect.TypeFor[State](), "", func(name string) { words = append(append(words, ' '), name...) })
	_, _ = unix.Write(1, append(words, said...))
	s.wait()
}

// wait is the rest of StandBy.
func (s *State) wait() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	for _, n := range []int{1, 2} {
		_ = unix.Dup2(int(null.Fd()), n)
	}
	null.Close()
	for {
		n, err := unix.Read(0, make([]byte, 1))
		if err == unix.EINTR {
			continue
		}
		if n == 1 || err != nil {
			return
		}
		break
	}
	// The other end of the pipe is closed. A process that ends closes its files a moment before
	// its children get another parent. Until then no other process can get the pid of one of them.
	ended := fd.Uptime()
	for end := time.Now().Add(partingTime); syscall.Getppid() == s.Pid; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return // it lives
		}
	}
	last, err := known(found.fd)
	if err != nil || last.Processes == nil && last.Guard == 0 { // it was not to be executed yet
		return
	}
	last.stop(ended)
}

// partingTime is how long the end of a process may take.
const partingTime = 10 * time.Second

// stop ends the workers that were handed over, and removes all files except those that are still
// needed: by the service manager, which has kept the sockets, or by orphans that serve. ended is
// when the process ended: a process that was started later is no worker, but has got its pid.
func (s *State) stop(ended time.Duration) {
	sig, err := text.ParseSignal(s.Stop)
	if err != nil {
		return
	}
	var handles []int
	for _, p := range s.Processes {
		if p.Ended {
			continue
		}
		handle, err := unix.PidfdOpen(p.Pid, 0)
		if err != nil {
			continue
		}
		if stat, err := fd.ReadStat(p.Pid); err != nil || stat.Started > ended {
			unix.Close(handle)
			continue
		}
		handles = append(handles, handle)
		_ = unix.PidfdSendSignal(handle, sig.(syscall.Signal), nil, 0)
	}
	for _, handle := range handles {
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, -1)
			if err != unix.EINTR {
				break
			}
		}
	}
	orphansServe := s.Orphans != nil && s.Orphans.Plan.At.IsZero()
	for _, h := range s.Sockets {
		if h.Path != "" && len(s.Kept) == 0 && !orphansServe {
			_ = fd.Known(h.Path, h.Dev, h.Ino).Remove()
		}
	}
	if c := s.Control; c != nil {
		_ = fd.Known(c.Path, c.Dev, c.Ino).Remove()
	}
	if n := s.Notify; n != nil && n.Path != "" {
		_ = os.RemoveAll(n.Path)
	}
	files := []string{s.pidPath()}
	if !orphansServe { // which the file lists
		files = append(files, s.StatusFile)
	}
	for _, path := range files {
		if path != "" {
			_ = fd.RemoveRegular(path)
		}
	}
}

func (s *State) pidPath() string {
	if s.PidFile == nil {
		return ""
	}
	f, err := fd.OpenFile(s.PidFile.Path, os.O_RDONLY, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(s.Pid) {
		return "" // another one has it by now
	}
	return s.PidFile.Path
}
