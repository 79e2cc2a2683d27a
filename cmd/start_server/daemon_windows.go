package main

import (
	"errors"
	"io"
	"os"
)

type daemonPipe struct{ *os.File }

func daemonReport() *daemonPipe { return nil }

func (*daemonPipe) ready() {}

func daemonize(stderr io.Writer) int {
	return fail(stderr, exitError, errors.New("--daemonize is not supported on Windows"))
}
