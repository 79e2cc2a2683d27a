package handover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// variable is the environment variable that tells an image what it was given: a message.
const variable = "START_SERVER_HANDOVER"

// message is PURPOSE:DESCRIPTOR,SIGNAL,...:WHY.
type message struct {
	purpose string
	fd      int
	signals []os.Signal // that are to be acted on
	why     string      // the image before could not go on
}

// maxWhy bounds why, in bytes: the length of an environment variable is limited (execve(2)).
const maxWhy = 16 << 10

func (m message) String() string {
	numbers := strconv.Itoa(m.fd)
	for _, sig := range m.signals {
		numbers += fmt.Sprintf(",%d", sig)
	}
	why := strings.ReplaceAll(m.why, "\x00", "")
	return m.purpose + ":" + numbers + ":" + why[:min(len(why), maxWhy)]
}

func parse(text string) (m message, ok bool) {
	var rest string
	m.purpose, rest, _ = strings.Cut(text, ":")
	rest, m.why, _ = strings.Cut(rest, ":")
	for i, number := range strings.Split(rest, ",") {
		n, err := strconv.Atoi(number)
		switch {
		case err != nil:
			return message{}, false
		case i == 0:
			m.fd = n
		default:
			m.signals = append(m.signals, syscall.Signal(n))
		}
	}
	return m, m.fd > 2 && isState(m.fd)
}

// isState tells whether a descriptor is of a state: somebody may have made up the variable.
func isState(n int) bool {
	target, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(n))
	return err == nil && strings.HasPrefix(target, "/memfd:"+stateName)
}

// stateName is the name of the file in memory.
const stateName = "start_server state"

// What an image is given a state for.
const (
	rehearse = "rehearse"
	takeOver = "take"
	goBack   = "back"
)

// found is what this process was given.
var found struct {
	sync.Mutex
	purpose string
	why     string
	fd      int
	claimed bool
	stops   chan os.Signal // that came early, and those that the last image has not acted on
	others  chan os.Signal // apart: they may be so many that a signal to stop would find no room
}

// manyEarly is how many signals other than those to stop may come early.
const manyEarly = 256

// A signal that comes before the program is ready to hear it would end the process, or be lost
// (see the runtime's blockableSig): so it is caught as early as possible.
func init() {
	value, is := os.LookupEnv(variable)
	if !is {
		return
	}
	os.Unsetenv(variable) // it is for nobody else
	m, ok := parse(value)
	if !ok {
		return
	}
	if m.purpose != rehearse {
		found.stops, found.others = make(chan os.Signal, 16+len(m.signals)), make(chan os.Signal, manyEarly)
		for _, sig := range m.signals {
			found.stops <- sig
		}
		signal.Notify(found.stops, syscall.SIGTERM, syscall.SIGQUIT)
		for _, sig := range ignored {
			signal.Notify(found.others, sig)
		}
	}
	unix.CloseOnExec(m.fd)
	found.purpose, found.fd, found.why = m.purpose, m.fd, m.why
}

// Inherited is a state that the last image has handed over to this one.
type Inherited struct {
	*State
	// Why is why the next image could not go on, so that this one goes on again; "": this one
	// goes on for the first time.
	Why string
}

// Claim returns the state that was handed over to a superdaemon of that name; nil: none
// was, or it was claimed.
func Claim(name string) (*Inherited, error) {
	found.Lock()
	defer found.Unlock()
	if found.claimed || found.purpose != takeOver && found.purpose != goBack {
		return nil, nil
	}
	s, err := read(found.fd)
	if err != nil {
		return nil, fmt.Errorf("the state that was handed over: %w", err)
	}
	if s.Pid != os.Getpid() || s.Name != name {
		return nil, nil
	}
	found.claimed = true
	_ = os.WriteFile("/proc/self/comm", []byte(base(s.To.Args[0])), 0) // it was executed by a descriptor's number
	return &Inherited{s, found.why}, nil
}

// InForce is the command line of an image that goes on again, if its arguments name a file:
// that may have changed. nil: they name none, or this image does not go on again.
func InForce() []string {
	found.Lock()
	defer found.Unlock()
	if found.purpose != goBack {
		return nil
	}
	s, err := read(found.fd)
	if err != nil {
		return nil // Claim reports the error
	}
	return s.From.InForce
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// Early calls act for each signal that came before now, or that the last image has not acted
// on. Later signals are not kept for it.
func Early(act func(os.Signal)) {
	found.Lock()
	early := waiting()
	found.Unlock()
	for _, sig := range early {
		act(sig)
	}
}

// waiting returns the signals that Early passes on. The caller has found locked.
func waiting() (all []os.Signal) {
	for _, early := range []chan os.Signal{found.stops, found.others} {
		if early == nil {
			return nil
		}
		signal.Stop(early)
		close(early)
		for sig := range early {
			all = append(all, sig)
		}
	}
	found.stops, found.others = nil, nil
	return all
}

// Rehearsal returns the state of a rehearsal. This process, a superdaemon of that name, is
// asked whether it could go on with that state; nil: it is not asked.
func Rehearsal(name string) (*State, error) {
	if found.purpose != rehearse {
		return nil, nil
	}
	s, err := read(found.fd)
	if err != nil {
		return nil, fmt.Errorf("the state that is handed over: %w", err)
	}
	if s.Pid != os.Getppid() {
		return nil, errors.New("the state that is handed over is another process's")
	}
	if s.Name != name {
		return nil, fmt.Errorf("the state that is handed over is one of %s, and this is %s", s.Name, name)
	}
	return s, nil
}

// now is the clock.
func now() (clock, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return clock{}, os.NewSyscallError("clock_gettime", err)
	}
	return clock{time.Now(), ts.Nano()}, nil
}

func read(n int) (*State, error) {
	c, err := now()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(n), "state")
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	keepOpen = append(keepOpen, f)
	if err != nil {
		return nil, err
	}
	return decode(text, c)
}

// known is read, but it ignores fields that this version does not know: some things have to be
// done with a state in any case.
func known(n int) (*State, error) {
	s, err := read(n)
	if unknown := (*errUnknown)(nil); errors.As(err, &unknown) {
		err = nil
	}
	return s, err
}

// keepOpen keeps files from being closed by the garbage collector.
var keepOpen []*os.File

// IsOne tells that this process is an image that was given a state.
func IsOne() bool { return found.purpose != "" }
