package text

import (
	"fmt"
	"syscall"
)

// ExitStatus puts a raw wait status into words, as wait(2) lays it out: "exit code 1",
// "killed by signal 9 (KILL)", "killed by signal 11 (SEGV), core dumped".
func ExitStatus(status int) string {
	sig := status & 0x7f
	if sig == 0 {
		return fmt.Sprintf("exit code %d", status>>8)
	}
	words := fmt.Sprintf("killed by signal %d", sig)
	if name := signalName(syscall.Signal(sig)); name != "" {
		words += " (" + name + ")"
	}
	if status&0x80 != 0 {
		words += ", core dumped"
	}
	return words
}
