package output

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

type command struct{}

func startCommand([]string, string, Runner, func(int, int, error)) (*os.File, *command, error) {
	return nil, nil, errors.New("log commands are not supported on Windows")
}

func (*command) expectEnd() {}

func (*command) drain(time.Duration) {}

func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
}

func redirect(*os.File) (saved []int, restore func(), err error) {
	return nil, nil, errors.New("cannot redirect output to the log: not supported on Windows")
}

func pipe() (r *os.File, w int, err error) {
	return nil, -1, fmt.Errorf("pipes to workers: %w on Windows", errors.ErrUnsupported)
}

func closePipe(int) {}

func isJournal(io.Writer, string) bool { return false }

func replaceLog(_, _ *os.File, _ int) error {
	return fmt.Errorf("reopening the log: %w on Windows", errors.ErrUnsupported)
}
