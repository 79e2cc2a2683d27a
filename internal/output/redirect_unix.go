//go:build unix

package output

import (
	"fmt"
	"os"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// redirect makes f our own stdout and stderr, until restore is called. saved are duplicates
// of what they were.
func redirect(f *os.File) (saved []int, restore func(), err error) {
	restore = func() {
		for i, old := range saved {
			_ = unix.Dup2(old, 1+i) // after an error there is nothing to report it to
			unix.Close(old)
		}
	}
	for _, std := range []int{1, 2} {
		old, err := fd.Dup(std)
		if err == nil {
			saved = append(saved, old)
			err = os.NewSyscallError("dup2", unix.Dup2(int(f.Fd()), std))
		}
		if err != nil {
			restore()
			return nil, nil, fmt.Errorf("cannot redirect output to the log: %w", err)
		}
	}
	return saved, restore, nil
}

// replaceLog makes the descriptor of log refer to file. redirected tells how many of our own
// stdout and stderr do so, too.
func replaceLog(log, file *os.File, redirected int) error {
	by := int(file.Fd())
	if err := fd.Replace(int(log.Fd()), by); err != nil {
		return err
	}
	for std := 1; std <= redirected; std++ {
		if err := unix.Dup2(by, std); err != nil {
			return os.NewSyscallError("dup2", err)
		}
	}
	return nil
}
