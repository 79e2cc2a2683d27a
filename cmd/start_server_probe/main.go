// Command start_server_probe tries the probes of start_server: requests over HTTP and TLS, and
// commands. start_server runs it when it is needed, and so stays small itself.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/prober"
)

const name = "start_server_probe"

// options is the command line. The tags drive parsing and help.
type options struct {
	Help    bool `short:"h" long:"help" description:"print this help"`
	Version bool `long:"version" description:"print the version"`
}

const epilogue = `
start_server runs this for --probe, and ends it. It tries what it is asked over a socket
at its stdin.

Exit codes: 0  start_server needs it no more
            1  it failed
            2  the command line is wrong
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	var o options
	parser, rest, err := cmdline.Parse(name, "[OPTIONS]", &o, args)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%q: it takes no arguments; see %s --help", rest[0], name)
	}
	switch {
	case err != nil:
		return cmdline.Fail(stderr, name, cmdline.Usage, err)
	case o.Help:
		parser.WriteHelp(stdout)
		fmt.Fprint(stdout, epilogue)
		return cmdline.OK
	case o.Version:
		fmt.Fprintln(stdout, cmdline.Version(name, starter.Version))
		return cmdline.OK
	}
	if err := prober.Serve(stdin, name+"/"+starter.Version); err != nil {
		return cmdline.Fail(stderr, name, cmdline.Error, err)
	}
	return cmdline.OK
}
