package text

import (
	"fmt"
	"syscall"
)

// Exit puts a raw wait status (wait(2)) into words: "exit code 1", "killed by signal 9".
func Exit(status int) string {
	if sig := status & 0x7f; sig != 0 {
		return fmt.Sprintf("killed by signal %d", sig)
	}
	return fmt.Sprintf("exit code %d", status>>8)
}

// ExitStatus is Exit with all that the status tells: "killed by signal 9 (KILL)", "killed by
// signal 11 (SEGV), core dumped".
func ExitStatus(status int) string {
	words, sig := Exit(status), status&0x7f
	if sig == 0 {
		return words
	}
	if name := signalName(syscall.Signal(sig)); name != "" {
		words += " (" + name + ")"
	}
	if status&0x80 != 0 {
		words += ", core dumped"
	}
	return words
}
