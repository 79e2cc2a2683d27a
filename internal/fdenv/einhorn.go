package fdenv

import (
	"fmt"
	"strconv"
)

// The variables of einhorn (its lib/einhorn/command.rb and README). Only einhorn's first
// releases have EINHORN_FDS; socketmaster has it, too.
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

// einhorn includes the control socket: a worker whose parent is the master may
// acknowledge there.
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

// EinhornAck tells a worker where to acknowledge as with einhorn. It names the master, because
// einhorn's library for Ruby acknowledges only to its parent (lib/einhorn/worker.rb).
func EinhornAck(master int, controlSocket string) []string {
	return []string{einhornMaster + strconv.Itoa(master), einhornSocket + controlSocket}
}

// Socketmaster tells a worker of the only socket that socketmaster gives it, at the first
// descriptor for sockets.
func Socketmaster() []string { return []string{einhornFDs + strconv.Itoa(firstPassed)} }
