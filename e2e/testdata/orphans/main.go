// Command orphans is a worker for tests that leaves processes behind, like a server
// whose helpers fork twice. Each says in a file whose child it has become.
//
//	orphans serve FILE N   leave N orphans behind; end by TERM, with a status of its own
//	orphans listen         print what sd_listen_fds(3) goes by; end by TERM
//	orphans fail CODE      end with that exit code
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	args := os.Args[2:]
	switch os.Args[1] {
	case "serve":
		serve(args[0], number(args[1]))
	case "fork":
		fork(args[0], number(args[1]))
	case "orphan":
		orphan(args[0], number(args[1]))
	case "listen":
		term := caught(syscall.SIGTERM)
		fmt.Printf("worker %d: LISTEN_PID=%s LISTEN_FDS=%s\n", os.Getpid(), os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"))
		<-term
	case "fail":
		os.Exit(number(args[0]))
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return n
}

func caught(sig os.Signal) <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, sig)
	return c
}

// serve leaves orphans behind, and ends with the generation as its exit code.
func serve(file string, n int) {
	term, usr1 := caught(syscall.SIGTERM), caught(syscall.SIGUSR1)
	const each = 20
	for ; n > 0; n -= each {
		if err := self("fork", file, strconv.Itoa(min(n, each))).Run(); err != nil {
			log.Fatal(err) // perhaps another process has taken its status
		}
	}
	generation := os.Getenv("SERVER_STARTER_GENERATION")
	fmt.Printf("generation %s has left its orphans behind\n", generation)
	for {
		select {
		case <-usr1:
			fmt.Printf("told USR1: %d\n", os.Getpid())
		case <-term:
			os.Exit(number(generation))
		}
	}
}

// fork starts orphans-to-be, and ends.
func fork(file string, n int) {
	for range n {
		if err := self("orphan", file, strconv.Itoa(os.Getpid())).Start(); err != nil {
			log.Fatal(err)
		}
	}
}

// orphan waits until its parent is gone, and ends with a code that no worker has.
func orphan(file string, parent int) {
	for os.Getppid() == parent {
		time.Sleep(time.Millisecond)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(f, "%d\n", os.Getppid())
	os.Exit(99)
}

func self(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr // there may be no /dev/null
	return cmd
}
