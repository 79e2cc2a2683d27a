//go:build linux

// Command embeds is a program that uses package starter, and replaces itself at USR2.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter"
)

func main() {
	s, err := starter.New(starter.Config{
		Name: "embeds", Release: "7", Ports: os.Args[1:2], Command: os.Args[2:],
		Interval: 100 * time.Millisecond, StatusFile: "status", HandleSignals: true,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	go func() {
		for range asked {
			fmt.Fprintln(os.Stderr, "embeds:", s.Upgrade(context.Background(), starter.Image{}))
		}
	}()
	err = s.Run(context.Background())
	if err != nil && !errors.Is(err, starter.ErrRehearsal) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
