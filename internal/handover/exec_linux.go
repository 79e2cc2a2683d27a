package handover

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/trampoline"
	"golang.org/x/sys/unix"
)

// rehearsalTime is how long an image may take to say whether it could go on.
const rehearsalTime = 10 * time.Second

// said is what an image says that could go on, after the names of all State fields that it knows.
const (
	said  = "\x00it could go on\n"
	knows = "\x00it knows"
)

// Candidate is an image that rehearses, or has done so, and is to be executed.
type Candidate struct {
	state   *State
	memory  int // the file
	guard   int // our end of the pipe that the child which has rehearsed reads, see StandBy
	process *proc.Process
	first   string   // see Rehearse
	knows   []string // fields that it says it knows; nil: it is too old to say so
	had     []string // fields of the state that it has rehearsed with
}

// Knows tells whether the image has said that it knows a field of a State, such as Control.Clients.
func (c *Candidate) Knows(field string) bool { return slices.Contains(c.knows, field) }

// Rehearse asks the image s.To whether it could go on with the state s. first, if it is not "",
// is an argument before all others: a program that does not know it cannot rehearse, and ends.
// The error is the reason that the image gives if it cannot go on.
func Rehearse(s *State, first string) (*Candidate, error) {
	return rehearseFor(rehearsalTime, s, first)
}

func rehearseFor(limit time.Duration, s *State, first string) (*Candidate, error) {
	image, err := openImage(s.To.Executable)
	if err != nil {
		return nil, err
	}
	c := &Candidate{state: s, memory: -1, guard: -1, first: first}
	s.To.FD, s.From.FD = image, -1
	if s.From.FD, err = openImage("/proc/self/exe"); err == nil {
		err = c.rehearse(limit)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func openImage(path string) (int, error) {
	n, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) // O_PATH does not block, and needs no permission to read
	if err != nil {
		return -1, fmt.Errorf("new executable: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(n)
	return fd.Dup(n)
}

func (c *Candidate) rehearse(limit time.Duration) error {
	var err error
	if c.memory, err = unix.MemfdCreate(stateName, unix.MFD_CLOEXEC); err != nil {
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
	if c.first != "" {
		args = append(args, c.first)
	}
	command := proc.Command{
		Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), c.state.To.FD), Args: append(args, c.state.To.Args[1:]...),
		Files: []int{reads, speaks, speaks}, Group: true,
	}
	for _, n := range c.state.Sources { // at the numbers where the image looks for them
		for len(command.Files) <= n {
			command.Files = append(command.Files, -1)
		}
		command.Files[n] = n
	}
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		command.PidVariables = []string{"LISTEN_PID"}
	}
	command.Env = append(os.Environ(), variable+"="+message{rehearse, len(command.Files), nil, ""}.String())
	command.Files = append(command.Files, c.memory)
	c.process, err = proc.Start(command)
	unix.Close(speaks)
	if err != nil { // it names the image by its descriptor
		return errors.New(strings.ReplaceAll(err.Error(), command.Path, c.state.To.Executable))
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
			_, words, _ := strings.Cut(string(text[:len(text)-len(said)]), knows)
			if c.knows = nil; words != "" {
				c.knows = strings.Fields(words)
			}
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
		return fmt.Errorf("%s has ended without saying that it can go on: it is not a superdaemon that can take over", c.state.To.Executable)
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
	c.had = nil
	fields(reflect.ValueOf(*c.state), "", func(name string) { c.had = append(c.had, name) })
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
		go c.process.Wait()
	}
	c.dismiss()
	for _, n := range []int{c.state.To.FD, c.state.From.FD} {
		if n >= 0 {
			unix.Close(n)
		}
	}
}

// dismiss ends the child.
func (c *Candidate) dismiss() {
	if c.process != nil {
		_ = c.process.Signal(os.Kill)
		c.process = nil
	}
	for _, n := range []int{c.memory, c.guard} {
		if n >= 0 {
			unix.Close(n)
		}
	}
	c.memory, c.guard = -1, -1
}

// againTime is rehearsalTime while the superdaemon stands still.
const againTime = 3 * time.Second

// Agree makes sure that the image knows all fields that the state has by now: one that it does not
// know would end it, maybe without a way back. An image that has not said what it knows rehearses
// once more if there is a new field. Call Agree before Exec, and before proc.HoldWaits.
func (c *Candidate) Agree() error {
	known := c.knows
	if known == nil {
		known = c.had
	}
	var unknown string
	c.state.Guard, c.state.GuardProcess, c.state.Ignored = c.guard, proc.Handed{Pid: os.Getpid()}, []int{int(syscall.SIGHUP)} // as they will be
	defer func() { c.state.Guard, c.state.GuardProcess, c.state.Ignored = 0, proc.Handed{}, nil }()
	fields(reflect.ValueOf(*c.state), "", func(name string) {
		if unknown == "" && !slices.Contains(known, name) {
			unknown = name
		}
	})
	switch {
	case unknown == "":
		return nil
	case c.knows != nil:
		return fmt.Errorf("%s cannot go on now: it does not know %s, which is in the state", c.state.To.Executable, unknown)
	}
	last := c.process
	c.dismiss()
	last.Wait()                 // or the next image has a child that it does not know
	if c.state.Control == nil { // an old image expects one
		c.state.Control = &control.Held{FD: -1}
		defer func() { c.state.Control = nil }()
	}
	return c.rehearse(againTime)
}

// Pause stops catching signals, and returns those that were not acted on: the next image acts on
// them. again catches signals again. It is called if that image is not executed, as after an error.
type Pause func() (left []os.Signal, again func(), err error)

// Exec executes the image with the state as it is by now, and with its descriptors. It
// returns only if that fails; all is as it was then. Until the image catches signals itself,
// HUP, INT, USR1, USR2, TTIN and TTOU are ignored. TERM and QUIT end the process, and the
// child that has rehearsed does what they ask for. pause is called before the exec.
func (c *Candidate) Exec(pause Pause) error {
	c.state.Guard = c.guard
	if c.process != nil {
		c.state.GuardProcess = c.process.Hand()
	}
	c.state.Ignored = nil
	for _, sig := range ignored {
		if trampoline.Ignored(sig) {
			c.state.Ignored = append(c.state.Ignored, int(sig))
		}
	}
	if err := c.write(); err != nil {
		return err
	}
	restore := trampoline.Ignore(ignored...)
	defer restore()
	left, again, err := pause()
	defer again() // before restore
	if err != nil {
		return err
	}
	value := message{takeOver, c.memory, left, ""}
	return execute(&c.state.To, value, append(c.state.Descriptors(), c.memory))
}

// ignored are the signals that are ignored across an exec: there they would end or stop the
// process. Go leaves HUP and INT ignored after it.
var ignored = []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTTIN, syscall.SIGTTOU}

// Heed ends that: signals that are still ignored, and were not before, get their default action.
// Children would inherit that they are ignored.
func (s *State) Heed() {
	trampoline.Heed(slices.DeleteFunc(slices.Clone(ignored), func(sig syscall.Signal) bool { return slices.Contains(s.Ignored, int(sig)) }))
}

func execute(image *Image, value message, files []int) error {
	var kept []int
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
	err := proc.Exec("/proc/self/fd/"+strconv.Itoa(image.FD), image.Args, append(os.Environ(), variable+"="+value.String()))
	for _, n := range kept {
		unix.CloseOnExec(n)
	}
	return fmt.Errorf("cannot execute %s: %w", image.Executable, err)
}

// Back is for an image that cannot go on with its state, for the reason why. It executes the
// last image again, which has handed the state over. It returns only if nothing was handed over,
// or if the exec fails: the error is why and the fault. pause is called before the exec; nil: no
// signals are caught yet.
func Back(why error, pause Pause) error { return errors.Join(why, back(why, pause)) }

func back(why error, pause Pause) error {
	found.Lock()
	defer found.Unlock()
	if found.purpose != takeOver {
		return nil
	}
	s, err := known(found.fd)
	if err != nil || s.Pid != os.Getpid() {
		return err
	}
	restore := trampoline.Ignore(ignored...)
	defer restore()
	value := message{goBack, found.fd, waiting(), why.Error()}
	if pause != nil {
		left, again, _ := pause() // there is no other way
		defer again()
		value.signals = append(value.signals, left...)
	}
	return execute(&s.From, value, append(s.Descriptors(), found.fd))
}

// Settled is called when this image goes on with the state: there is no way back from then
// on. It closes the descriptors that this image has duplicates of or does not need any more.
func (s *State) Settled() {
	found.Lock()
	defer found.Unlock()
	found.purpose = ""
	done := []int{found.fd, s.From.FD, s.To.FD}
	if s.GuardProcess.Pid > 0 {
		go proc.Adopt(s.GuardProcess).Wait()
	}
	if s.Guard > 0 {
		_, _ = unix.Write(s.Guard, []byte{1})
		done = append(done, s.Guard)
	}
	if s.Notify != nil {
		done = append(done, s.Notify.FD)
	}
	if s.Control != nil {
		done = append(done, s.Control.FD)
	}
	if s.Output != nil {
		done = append(done, s.Output.Saved...)
	}
	for _, n := range done {
		unix.Close(n)
	}
}

// Descriptors are all that the state has.
func (s *State) Descriptors() []int {
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
		for _, c := range s.Control.Clients {
			all = append(all, c.FD)
		}
	}
	if s.By != nil {
		all = append(all, s.By.FD)
	}
	if s.Orphans != nil {
		for _, o := range s.Orphans.Orphans {
			all = append(all, o.Handle)
		}
	}
	if o := s.Output; o != nil {
		all = append(all, o.Saved...)
		for _, r := range o.Relays {
			all = append(all, r.FD)
		}
		for _, c := range o.Commands() {
			all = append(all, c.Writer, c.Reader, c.Stdout, c.Stderr)
		}
	}
	return all
}
