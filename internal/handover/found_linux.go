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

// variable tells an image of what it was given: PURPOSE:DESCRIPTOR, and after another :
// why the image before it could not go on.
const variable = "START_SERVER_HANDOVER"

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
	early   chan os.Signal
}

// A signal to stop that comes before the program is ready to hear it would end the process
// (see the runtime's blockableSig): so it is caught as early as possible.
func init() {
	value, is := os.LookupEnv(variable)
	if !is {
		return
	}
	os.Unsetenv(variable) // it is for nobody else
	purpose, rest, _ := strings.Cut(value, ":")
	number, why, _ := strings.Cut(rest, ":")
	n, err := strconv.Atoi(number)
	if err != nil || n < 3 {
		return
	}
	if purpose != rehearse {
		found.early = make(chan os.Signal, 16)
		signal.Notify(found.early, syscall.SIGTERM, syscall.SIGQUIT)
	}
	unix.CloseOnExec(n)
	found.purpose, found.fd, found.why = purpose, n, why
}

// Inherited is a state that the last image has handed over to this one.
type Inherited struct {
	*State
	// Why is why the image that this one has gone on from, and now goes on for again, could
	// not go on; "": it is not so.
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
	_ = os.WriteFile("/proc/self/comm", []byte(base(s.To.Args[0])), 0) // it was executed by a number
	return &Inherited{s, found.why}, nil
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// Early calls act for each signal to stop that came before now, and has no more kept.
func Early(act func(os.Signal)) {
	found.Lock()
	early := found.early
	found.early = nil
	found.Unlock()
	if early == nil {
		return
	}
	signal.Stop(early)
	close(early)
	for sig := range early {
		act(sig)
	}
}

// Rehearsal returns the state that this process, which is a superdaemon of that name, is to
// say of whether it could go on with it; nil: it is not asked.
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

// keepOpen keeps files from being closed by the garbage collector.
var keepOpen []*os.File

// IsOne tells that this process is an image that was given a state.
func IsOne() bool { return found.purpose != "" }
