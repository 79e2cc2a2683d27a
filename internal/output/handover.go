package output

import (
	"fmt"
	"strings"
)

// Held is all output of one image of this program, as it is handed over to the next.
type Held struct {
	Spec    string // of the log; "": there is none
	Saved   []int  // our own stdout and stderr, if they are redirected
	Command *HeldCommand
	Going   []*HeldCommand // of earlier images: workers still write to them
	Relays  []HeldRelay
	Tail    HeldTail
}

// HeldCommand is a log command that runs.
type HeldCommand struct {
	Writer, Reader, Stdout, Stderr int    // descriptors; in Going there is no Writer: -1
	Spec                           string // only in Going

	Process Process // handed over by the caller; nil: it does not run just now
}

// HeldRelay is a pipe from a worker.
type HeldRelay struct {
	FD, Pid int
	Part    string // the part of a line that was read

	Generation, Slot int // of the worker; both 0: an older image did not know
	Stream           string
}

// HeldTail is where the log of a generation begins, and the last lines of one that has
// failed.
type HeldTail struct {
	Generation int
	Begin      int64
	Failed     int
	Lines      []string
}

// Commands are the log command, if there is one, and those in Going.
func (h *Held) Commands() []*HeldCommand {
	if h.Command == nil {
		return h.Going
	}
	return append([]*HeldCommand{h.Command}, h.Going...)
}

// Try says why the log that spec names could not be opened, as far as that can be known
// without starting a command. It leaves an empty file there if there was none.
func Try(spec string) error {
	if spec == "" {
		return nil
	}
	if err := Check(spec); err != nil {
		return err
	}
	if strings.HasPrefix(spec, "syslog:") || strings.HasPrefix(strings.TrimSpace(spec), "|") {
		return nil
	}
	f, err := openFile(spec)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	return f.Close()
}
