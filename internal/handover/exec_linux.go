package handover

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"golang.org/x/sys/unix"
)

// rehearsalTime is how long an image may take to say whether it could go on.
const rehearsalTime = 10 * time.Second

// said is what it says then.
const said = "\x00it could go on\n"

// Candidate is an image that has rehearsed, and is to be executed.
type Candidate struct {
	state   *State
	memory  int // the file
	guard   int // tells the child that has rehearsed when it is over
	process *proc.Process
}

// Rehearse has the image s.To say whether it could go on with the state s. first, if it is
// not "", is an argument before all others that a program must know to rehearse: one that
// does not know it ends. The error is what the image says of why it cannot go on.
func Rehearse(s *State, first string) (*Candidate, error) {
	return rehearseFor(rehearsalTime, s, first)
}

func rehearseFor(limit time.Duration, s *State, first string) (*Candidate, error) {
	image, err := openImage(s.To.Executable)
	if err != nil {
		return nil, err
	}
	c := &Candidate{state: s, memory: -1, guard: -1}
	s.To.FD = image
	if err := c.rehearse(first, limit); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func openImage(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return -1, fmt.Errorf("new executable: %w", err)
	}
	defer f.Close()
	return fd.Dup(int(f.Fd()))
}

func (c *Candidate) rehearse(first string, limit time.Duration) error {
	var err error
	if c.memory, err = unix.MemfdCreate("start_server state", unix.MFD_CLOEXEC); err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	if err := c.write(); err != nil {
		return err
	}
	reads, writes, err := fd.Pipe()
	if err != nil {
		return err
	}
	c.guard = writes
	defer unix.Close(reads)
	listens, speaks, err := fd.Pipe()
	if err != nil {
		return err
	}
	_ = unix.SetNonblock(listens, true) // for a deadline
	answer := os.NewFile(uintptr(listens), "answer of the new image")
	defer answer.Close()
	args := []string{c.state.To.Args[0]}
	if first != "" {
		args = append(args, first)
	}
	command := proc.Command{
		Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), c.state.To.FD), Args: append(args, c.state.To.Args[1:]...),
		Files: []int{reads, speaks, speaks}, Group: true,
	}
	for _, n := range c.state.Sources { // where it looks for them
		for len(command.Files) <= n {
			command.Files = append(command.Files, -1)
		}
		command.Files[n] = n
	}
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		command.PidVariable = "LISTEN_PID"
	}
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d", variable, rehearse, len(command.Files)))
	command.Files = append(command.Files, c.memory)
	c.process, err = proc.Start(command)
	unix.Close(speaks)
	if err != nil {
		return err
	}
	return c.listen(answer, limit)
}

// listen waits until the image has said yes, or ended, or its time is over.
func (c *Candidate) listen(answer *os.File, limit time.Duration) error {
	_ = answer.SetReadDeadline(time.Now().Add(limit))
	var text []byte
	buffer := make([]byte, 4096)
	for len(text) < 64<<10 {
		n, err := answer.Read(buffer)
		text = append(text, buffer[:n]...)
		if bytes.HasSuffix(text, []byte(said)) {
			return nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%s has not said within %v whether it could go on; it said: %q", c.state.To.Executable, limit, text)
		}
		if err != nil {
			break
		}
	}
	words := strings.TrimSpace(string(text))
	words = strings.ReplaceAll(strings.TrimPrefix(words, c.state.Name+": "), "\n"+c.state.Name+": ", "\n")
	if words == "" {
		return fmt.Errorf("%s has ended, and not said that it could go on: it is no superdaemon that knows how", c.state.To.Executable)
	}
	return errors.New(words)
}

// write writes the state to the file.
func (c *Candidate) write() error {
	at, err := now()
	if err != nil {
		return err
	}
	text := c.state.encode(at)
	if err := unix.Ftruncate(c.memory, 0); err != nil {
		return os.NewSyscallError("ftruncate", err)
	}
	for done := 0; done < len(text); {
		n, err := unix.Pwrite(c.memory, text[done:], int64(done))
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		done += n
	}
	return nil
}

// Close is for an image that is not executed. The child that has rehearsed ends.
func (c *Candidate) Close() {
	if c.process != nil {
		_ = c.process.Signal(os.Kill)
		p := c.process
		go p.Wait()
		c.process = nil
	}
	for _, n := range []int{c.memory, c.guard, c.state.To.FD} {
		if n >= 0 {
			unix.Close(n)
		}
	}
}

// Exec executes the image with the state as it is by now, and with these descriptors. It
// returns only if that fails; all is as it was then. Until the image hears them itself HUP,
// INT, USR1, USR2, TTIN and TTOU are ignored; TERM and QUIT end the process, and the child
// that has rehearsed sees to what they ask for. last is called when HUP and those after it
// are ignored, and nothing else is to be done: if it returns an error nothing is executed.
func (c *Candidate) Exec(files []int, last func() error) error {
	c.state.Guard = c.guard
	if c.process != nil {
		c.state.GuardProcess = c.process.Hand()
	}
	if err := c.write(); err != nil {
		return err
	}
	return execute(&c.state.To, takeOver+":"+strconv.Itoa(c.memory), append(files, c.memory, c.guard, c.state.To.FD, c.state.From.FD), last)
}

// ignored over an exec. Go keeps that for HUP and INT; the others it ignores by itself.
var ignored = []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTTIN, syscall.SIGTTOU}

func execute(image *Image, value string, files []int, last func() error) error {
	var kept []int
	signal.Ignore(ignored...)
	if err := last(); err != nil {
		return err
	}
	syscall.ForkLock.Lock() // no child may get them
	defer syscall.ForkLock.Unlock()
	for _, n := range files {
		flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC != 0 {
			if _, err = unix.FcntlInt(uintptr(n), unix.F_SETFD, 0); err == nil {
				kept = append(kept, n)
			}
		}
	}
	err := proc.Exec("/proc/self/fd/"+strconv.Itoa(image.FD), image.Args, append(os.Environ(), variable+"="+value))
	for _, n := range kept {
		unix.CloseOnExec(n)
	}
	return fmt.Errorf("cannot execute %s: %w", image.Executable, err)
}

// Back executes the image again that has handed the state over to this one, which cannot go
// on with it, for the reason why. It returns only if nothing was handed over, or if that
// fails.
func Back(why error) error {
	found.Lock()
	defer found.Unlock()
	if found.purpose != takeOver {
		return nil
	}
	s, err := read(found.fd)
	if err != nil || s.Pid != os.Getpid() {
		return err
	}
	return execute(&s.From, goBack+":"+strconv.Itoa(found.fd)+":"+why.Error(), append(s.descriptors(), found.fd), func() error { return nil })
}

// Settled is called when this image goes on with the state: there is no way back from then
// on.
func (s *State) Settled() {
	found.Lock()
	defer found.Unlock()
	found.purpose = ""
	unix.Close(found.fd)
	if s.Guard > 0 {
		_, _ = unix.Write(s.Guard, []byte{1})
		unix.Close(s.Guard)
	}
	if s.GuardProcess.Pid > 0 {
		go proc.Adopt(s.GuardProcess).Wait()
	}
	unix.Close(s.From.FD)
	unix.Close(s.To.FD)
}

// Descriptors are all that the state has.
func (s *State) Descriptors() []int { return s.descriptors() }

func (s *State) descriptors() []int {
	all := []int{s.From.FD, s.To.FD, s.Guard}
	for _, h := range s.Sockets {
		all = append(all, h.FDs...)
	}
	all = append(all, s.Sources...)
	if s.PidFile != nil {
		all = append(all, s.PidFile.FD)
	}
	if s.Notify != nil {
		all = append(all, s.Notify.FD)
	}
	if s.Control != nil {
		all = append(all, s.Control.FD)
	}
	if s.By != nil {
		all = append(all, s.By.FD)
	}
	if o := s.Output; o != nil {
		all = append(all, o.Saved...)
		for _, r := range o.Relays {
			all = append(all, r.FD)
		}
		if c := o.Command; c != nil {
			all = append(all, c.Writer, c.Reader, c.Stdout, c.Stderr)
		}
	}
	return all
}
