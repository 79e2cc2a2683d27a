//go:build unix

package starter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter"
)

// The error names every fault, a line each. Nothing was touched.
func ExampleNew() {
	_, err := starter.New(starter.Config{
		Command:  []string{"./server"},
		Ports:    []string{"127.0.0.1:8080", "127.0.0.1:8080"},
		Workers:  -1,
		Attempts: -1,
	})
	fmt.Println(err)
	// Output:
	// port "127.0.0.1:8080": it is asked for twice
	// attempts -1 is negative
	// workers -1 is not from 0 to 10000
}

// A superdaemon runs a server until its context ends.
func ExampleStarter_Run() {
	ctx, stop := context.WithCancel(context.Background())
	s, err := starter.New(starter.Config{
		Command:     []string{"sleep", "1000"}, // a server
		Ports:       []string{"127.0.0.1:0"},
		Interval:    100 * time.Millisecond,
		KillTimeout: 10 * time.Second,
		Log:         io.Discard,
		Serving:     stop, // a real program does not stop here
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("run:", s.Run(ctx))
	// Output: run: <nil>
}

// Restart returns when the new generation serves, or says why it does not.
func ExampleStarter_Restart() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	release := func(name, script string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			log.Fatal(err)
		}
		os.Rename(filepath.Join(dir, name), filepath.Join(dir, "server"))
	}
	release("v1", "exec sleep 1000\n")

	serving := make(chan struct{})
	s, err := starter.New(starter.Config{
		Command:  []string{"./server"},
		Dir:      dir,
		Interval: 100 * time.Millisecond,
		Attempts: 1,
		Log:      io.Discard,
		Serving:  func() { close(serving) },
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	<-serving

	release("v2", "exit 3\n")
	err = s.Restart(ctx)
	if failure := (*starter.Failure)(nil); errors.As(err, &failure) {
		fmt.Printf("generation %d: exit code %d\n", failure.Generation, failure.ExitCode())
	}
	status, err := s.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, generation %d\n", status.State, status.Generation)

	release("v3", "exec sleep 1000\n")
	fmt.Println("restart:", s.Restart(ctx))
	stop()
	fmt.Println("run:", <-ended)
	// Output:
	// generation 2: exit code 3
	// serving, generation 1
	// restart: <nil>
	// run: <nil>
}

// Four workers, replaced one after the other as soon as each says that it is ready.
func ExampleConfig() {
	delay := 2 * time.Second
	c := starter.Config{
		Command:       []string{"./server", "--listen-fd={fd:web}"},
		Ports:         []string{"web@[::]:8080,v6only=0,reuseport"},
		Expand:        true,
		Workers:       4,
		Replace:       starter.Rolling(1),
		Proof:         starter.Notified(30 * time.Second),
		Attempts:      3,
		KillOldDelay:  &delay,
		KillTimeout:   time.Minute,
		SignalOnHUP:   syscall.SIGQUIT,
		Control:       "/run/app/control",
		LogFile:       "/var/log/app/app.log",
		HandleSignals: true,
	}
	s, err := starter.New(c)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(s.Run(context.Background()))
}
