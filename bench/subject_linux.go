package main

import (
	"context"
	"fmt"
	"net"
	"time"
)

// subject is a column of the table: how the worker is run.
type subject int

const (
	bare     subject = iota // by us, binding its ports itself
	ours                    // by start_server of this module
	original                // by start_server in Perl
	subjects
)

func (s subject) String() string { return [...]string{"bare", "ours", "original"}[s] }

// superdaemons are the subjects that can restart the worker.
func (t tools) superdaemons() []subject {
	if t.hasOriginal() {
		return []subject{ours, original}
	}
	return []subject{ours}
}

// all are the subjects that can be measured here.
func (t tools) all() []subject { return append([]subject{bare}, t.superdaemons()...) }

// setup is what a server is started with.
type setup struct {
	ports    int           // 0: 1
	interval time.Duration // in whole seconds, as for the original
	boot     time.Duration // of the worker
	notify   bool          // workers of ours say that they are ready; the original has to wait
	asked    bool          // other processes may ask for a restart
	workers  int           // in a generation, of ours only; 0: 1, without the option
	surge    int           // of a rolling restart; 0: none
	port     string        // options of each port, of ours only
	options  []string      // more, of ours only
}

// usual is the setup of most experiments.
var usual = setup{interval: time.Second}

// program is the file of a superdaemon.
func (t tools) program(s subject) string {
	if s == original {
		return t.original
	}
	return t.ours
}

// ways are the options of a superdaemon with files in dir that can be asked. Another
// start_server asks it with the same options.
func (s subject) ways(dir string) []string {
	if s == original {
		return []string{"--pid-file=" + dir + "/pid", "--status-file=" + dir + "/status"}
	}
	return []string{"--control=" + controlPath(dir)}
}

func controlPath(dir string) string { return dir + "/control" }

// command is the command line that runs the worker on the addresses.
func (t tools) command(s subject, use setup, dir string, addresses []string) []string {
	worker := []string{t.worker, "-boot=" + use.boot.String()}
	if s == bare {
		return append(worker, addresses...)
	}
	command := []string{t.program(s), fmt.Sprintf("--interval=%d", use.interval/time.Second)}
	if use.notify && s == ours {
		command = append(command, "--ready=notify")
	}
	if use.asked {
		command = append(command, s.ways(dir)...)
	}
	if use.workers > 0 {
		command = append(command, fmt.Sprintf("--workers=%d", use.workers))
	}
	if use.surge > 0 {
		command = append(command, "--rolling", fmt.Sprintf("--surge=%d", use.surge))
	}
	for _, address := range addresses {
		command = append(command, "--port="+address+use.port)
	}
	command = append(command, use.options...)
	return append(append(command, "--"), worker...)
}

// freeAddresses finds n addresses that are not bound. Linux prefers ports of the other
// parity for connecting sockets, so these stay free long enough.
func freeAddresses(ctx context.Context, n int) ([]string, error) {
	var addresses []string
	var config net.ListenConfig
	for range n {
		l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until all are found
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
