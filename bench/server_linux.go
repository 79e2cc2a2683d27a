package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
)

// server is a worker that was started, with or without a superdaemon.
type server struct {
	use     setup
	address string        // the last one of those bound
	began   time.Duration // just before the start
	worker  int           // pid of the newest worker that was ready
	ready   time.Duration // when that was
	ended   time.Duration // when the server ended; set before done is closed
	cpu     time.Duration // CPU time of the process until then, without its children

	program string // of the workers
	spawned time.Duration
	seen    map[int]bool // pids of all workers ever
	cmd     *exec.Cmd
	done    chan struct{} // closed when cmd has been waited for
	reports *net.UnixConn
	control string // the path of the control socket; "": there is none
	log     string
	asker   []string // the command line of another start_server; see ask
	unhook  func() bool
}

// patience bounds every wait for a report.
const patience = 15 * time.Second

// launch starts a server and blocks until all workers of its first generation are ready.
// The caller must stop it.
func (t tools) launch(ctx context.Context, s subject, use setup) (*server, error) {
	addresses, err := freeAddresses(ctx, max(1, use.ports))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(t.dir, s.String()+"-")
	if err != nil {
		return nil, err
	}
	v := &server{
		use:     use,
		address: addresses[len(addresses)-1],
		program: t.worker,
		seen:    make(map[int]bool),
		done:    make(chan struct{}),
		control: controlPath(dir),
		log:     filepath.Join(dir, "log"),
		asker:   append([]string{t.program(s)}, s.ways(dir)...),
	}
	name := filepath.Join(dir, "reports")
	if v.reports, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"}); err != nil {
		return nil, err
	}
	log, err := os.Create(v.log)
	if err != nil {
		return nil, errors.Join(err, v.reports.Close())
	}
	defer log.Close()
	command := t.command(s, use, dir, addresses)
	v.cmd = exec.Command(command[0], command[1:]...)
	v.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), protocol.Variable + "=" + name} // ours may hold options
	v.cmd.Stdout, v.cmd.Stderr = log, log
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, and we stop it
	v.began = protocol.Now()
	if err := v.cmd.Start(); err != nil {
		return nil, errors.Join(err, v.reports.Close())
	}
	go func() {
		v.cpu = cpuAtEnd(v.cmd.Process.Pid)
		_ = v.cmd.Wait() // how it ended does not matter
		v.ended = protocol.Now()
		close(v.done)
		v.hurry()
	}()
	v.unhook = context.AfterFunc(ctx, v.hurry)
	for range max(1, use.workers) {
		if _, err := v.await(ctx, protocol.Ready, 0); err != nil {
			v.stop()
			return nil, err
		}
	}
	return v, nil
}

// hurry ends the wait for a report that will not come.
func (v *server) hurry() { v.reports.SetReadDeadline(time.Now()) }

// await returns the next report of that kind, by that worker unless pid is 0.
func (v *server) await(ctx context.Context, kind protocol.Kind, pid int) (protocol.Report, error) {
	v.reports.SetReadDeadline(time.Now().Add(patience))
	for {
		report, err := v.receive(ctx)
		if err != nil {
			return report, fmt.Errorf("waiting for a worker to be %s: %w; the log of %s says:\n%s",
				kind, err, v.cmd.Path, v.logged())
		}
		if report.Kind == kind && (pid == 0 || report.Pid == pid) {
			return report, nil
		}
	}
}

func (v *server) receive(ctx context.Context) (protocol.Report, error) {
	if ctx.Err() != nil {
		return protocol.Report{}, ctx.Err()
	}
	select {
	case <-v.done:
		return protocol.Report{}, errors.New("the server has ended")
	default:
	}
	buffer := make([]byte, 128)
	n, err := v.reports.Read(buffer)
	if err != nil {
		return protocol.Report{}, err
	}
	report, err := protocol.Parse(string(buffer[:n]))
	if err != nil {
		return report, err
	}
	v.seen[report.Pid] = true
	switch report.Kind {
	case protocol.Started:
		v.spawned = report.At
	case protocol.Ready:
		v.worker, v.ready = report.Pid, report.At
	}
	return report, nil
}

// smallest is the interval of ours with --interval=0.
const smallest = 100 * time.Millisecond

// settle blocks until the newest worker has lived through the interval. Then the
// superdaemon is at rest and may spawn the next worker at once.
func (v *server) settle(ctx context.Context) error {
	const slack = 200 * time.Millisecond
	return sleep(ctx, v.spawned+max(v.use.interval, smallest)+slack-protocol.Now())
}

// restart sends HUP, and returns the time until the old worker gets its signal. The new
// worker is ready then.
func (v *server) restart(ctx context.Context) (time.Duration, error) {
	old := v.worker
	began := protocol.Now()
	if err := v.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return 0, err
	}
	told, err := v.await(ctx, protocol.Terminated, old)
	if err != nil {
		return 0, err
	}
	if v.worker == old {
		if v.use.interval > 0 {
			return 0, errors.New("the old worker was told to go before the new one was ready")
		}
		_, err = v.await(ctx, protocol.Ready, 0) // with 0 the original does not wait
	}
	return told.At - began, err
}

// stop ends the server and all of its workers.
func (v *server) stop() {
	v.unhook()
	defer v.reports.Close()
	_ = v.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	if !v.gone(5 * time.Second) {
		_ = v.cmd.Process.Kill()
		v.gone(5 * time.Second)
	}
	for pid := range v.seen {
		// The pid may be another process by now.
		if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && program == v.program {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// gone blocks until the server has ended. It reads reports meanwhile: a worker whose
// reports are not read does not end.
func (v *server) gone(limit time.Duration) bool {
	end := time.Now().Add(limit)
	for time.Now().Before(end) {
		v.reports.SetReadDeadline(end)
		if _, err := v.receive(context.Background()); err == nil {
			continue
		}
		select {
		case <-v.done:
			return true
		case <-time.After(time.Until(end)):
		}
	}
	return false
}

func (v *server) logged() []byte {
	text, err := os.ReadFile(v.log)
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-1000):]
}

// sleep is time.Sleep that ends with ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
