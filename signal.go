package starter

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// ParseSignal returns the signal of that name: any case, with or without SIG.
// The error lists the names there are on this system.
func ParseSignal(name string) (os.Signal, error) {
	sig, ok := signals[strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "SIG")]
	if !ok {
		var names []string
		for n := range signals {
			names = append(names, n)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("signal %q is not one of %s", name, strings.Join(names, " "))
	}
	return sig, nil
}

// signalName is the name of a signal without SIG, as the log has it.
func signalName(sig os.Signal) string {
	for name, s := range signals {
		if s == sig {
			return name
		}
	}
	return sig.String()
}
