package text

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// ParseSignal returns the signal of that name: any case, with or without SIG.
// The error lists the names there are on this system.
func ParseSignal(s string) (os.Signal, error) {
	sig := signalNumber(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(s)), "SIG"))
	if sig == 0 {
		return nil, fmt.Errorf("signal %q is not one of %s", s, strings.Join(SignalNames(), " "))
	}
	return sig, nil
}

// SignalName returns the name of a signal without SIG, as the log has it. For a signal without a
// name it returns what the system calls it.
func SignalName(sig os.Signal) string {
	if number, ok := sig.(syscall.Signal); ok {
		if name := signalName(number); name != "" {
			return name
		}
	}
	return sig.String()
}

// lastSignal is beyond every signal that has a name.
const lastSignal = 64

// SignalNames returns the names of signals on this system, without SIG, sorted.
func SignalNames() []string {
	var list []string
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		if name := signalName(sig); name != "" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}
