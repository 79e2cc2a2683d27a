package fdenv

import (
	"fmt"
	"strconv"
)

// The variables of einhorn (its lib/einhorn/command.rb and README). EINHORN_FDS is that
// of its first releases, and socketmaster's.
const (
	einhornPrefix     = "EINHORN_"
	einhornFDs        = einhornPrefix + "FDS="
	einhornFDCount    = einhornPrefix + "FD_COUNT="
	einhornFD         = einhornPrefix + "FD_%d=%d"
	einhornFDFamily   = einhornPrefix + "FD_FAMILY_%d=%s"
	einhornMaster     = einhornPrefix + "MASTER_PID="
	einhornChildIndex = einhornPrefix + "CHILD_INDEX="
	einhornSocket     = einhornPrefix + "SOCK_PATH="
)

// einhorn is told the control socket as well: a worker that finds its parent to be the
// master may want to acknowledge.
var einhorn = Export{Name: "einhorn", prefixes: []string{einhornPrefix}, check: anything, environ: func(sockets []Socket, w Worker) []string {
	told := []string{
		einhornFDCount + strconv.Itoa(len(sockets)),
		einhornFDs + join(sockets, " ", descriptor),
		einhornMaster + strconv.Itoa(w.Master),
		einhornChildIndex + strconv.Itoa(w.Slot),
	}
	for i, s := range sockets {
		told = append(told, fmt.Sprintf(einhornFD, i, s.FD), fmt.Sprintf(einhornFDFamily, i, family(s)))
	}
	if w.Control != "" {
		told = append(told, einhornSocket+w.Control)
	}
	return told
}}

// EinhornAck tells a worker where to say that it is ready, as einhorn does: its
// library for Ruby says it only to its parent (einhorn, lib/einhorn/worker.rb).
func EinhornAck(master int, controlSocket string) []string {
	return []string{einhornMaster + strconv.Itoa(master), einhornSocket + controlSocket}
}

// Socketmaster tells a worker of the one socket that socketmaster gives it, at the first
// descriptor there is.
func Socketmaster() []string { return []string{einhornFDs + strconv.Itoa(firstPassed)} }
