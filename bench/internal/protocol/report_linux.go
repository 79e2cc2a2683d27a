package protocol

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time on a clock that all processes of the machine share.
func Now() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // this clock cannot fail
	}
	return time.Duration(now.Nano())
}

// Report is one datagram.
type Report struct {
	Kind Kind
	Pid  int
	At   time.Duration // Now, in the worker
}

// Send reports to the socket that Variable names; if it is unset Send does nothing. It
// blocks while the benchmark does not read.
func Send(kind Kind) error {
	path := os.Getenv(Variable)
	if path == "" {
		return nil
	}
	at := Now()
	text := string(kind) + " " + strconv.Itoa(os.Getpid()) + " " + strconv.FormatInt(int64(at), 10)
	return send(path, text)
}

// Notify says to the socket that NOTIFY_SOCKET names that the worker is ready
// (sd_notify(3)); if it is unset Notify does nothing.
func Notify() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	return send(path, "READY=1")
}

func send(path, text string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	return os.NewSyscallError("sendto", syscall.Sendto(fd, []byte(text), 0, &syscall.SockaddrUnix{Name: path}))
}

// Parse reads what Send has written.
func Parse(text string) (Report, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return Report{}, fmt.Errorf("report %q has not three fields", text)
	}
	pid, errPid := strconv.Atoi(fields[1])
	at, errAt := strconv.ParseInt(fields[2], 10, 64)
	if errPid != nil || errAt != nil {
		return Report{}, fmt.Errorf("report %q lacks a pid and a time", text)
	}
	return Report{Kind: Kind(fields[0]), Pid: pid, At: time.Duration(at)}, nil
}
