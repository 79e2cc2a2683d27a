package output

// Held is all output of one image of this program, as it is handed over to the next.
type Held struct {
	Spec    string // of the log; "": there is none
	Saved   []int  // our own stdout and stderr, if they are redirected
	Command *HeldCommand
	Relays  []HeldRelay
	Tail    HeldTail
}

// HeldCommand is a log command that runs.
type HeldCommand struct {
	Writer, Reader, Stdout, Stderr int // descriptors

	Process Process // for whoever hands over to see to; nil: it does not run just now
}

// HeldRelay is a pipe from a worker.
type HeldRelay struct {
	FD, Pid int
	Part    string // of a line, that was read
}

// HeldTail is where the log of a generation begins, and the last lines of one that has
// failed.
type HeldTail struct {
	Generation int
	Begin      int64
	Failed     int
	Lines      []string
}
