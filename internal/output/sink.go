package output

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// sink is an open log: a file, or the standard input of a command that is kept running.
// Workers are given its file as their stdout and stderr, so nothing stands between them
// and their log.
type sink struct {
	spec    string
	file    *os.File
	command *command // nil for a file
	adopted bool     // from the last image
}

// Process is a run of a log command.
type Process interface {
	Pid() int
	Wait() int // blocks until it has ended, and returns its raw wait status
}

// Runner starts a log command with these descriptors as 0, 1 and 2, and no
// others.
type Runner func(args []string, files []int) (Process, error)

// Check says what is wrong with the spec of a log, as far as that shows without opening it.
// A spec is the path of a file, which is appended to, or a "|" and a command, whose stdin is
// the log. "syslog:TAG" stands for the command logger(1) with that tag. Without a tag it is
// the program's name.
func Check(spec string) error {
	if line, piped := strings.CutPrefix(strings.TrimSpace(spec), "|"); piped && strings.TrimSpace(line) == "" {
		return fmt.Errorf("log file %q: the command is missing", spec)
	}
	tag, ok := strings.CutPrefix(spec, "syslog:")
	if ok && (!utf8.ValidString(tag) || strings.ContainsFunc(tag, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) })) {
		return fmt.Errorf("log file %q: the tag after syslog: must have no blanks and no unprintable characters", spec)
	}
	return nil
}

// openSink opens the log that spec names. name is the program's. died is called from another
// goroutine whenever the log command has ended, with its raw wait status, or cannot be started
// again, with the error.
func openSink(spec, name string, run Runner, died func(pid, status int, err error)) (*sink, error) {
	if err := Check(spec); err != nil {
		return nil, err
	}
	if strings.HasPrefix(spec, "syslog:") {
		return openSyslog(spec, name, run, died)
	}
	line, piped := strings.CutPrefix(strings.TrimSpace(spec), "|")
	if !piped {
		f, err := openFile(spec)
		if err != nil {
			return nil, fmt.Errorf("log file: %w", err)
		}
		return &sink{spec: spec, file: f}, nil
	}
	file, c, err := startCommand(args(spec, name), name, run, died)
	if err != nil {
		return nil, fmt.Errorf("log command %q: %w", strings.TrimSpace(line), err)
	}
	return &sink{spec: spec, file: file, command: c}, nil
}

func openSyslog(spec, name string, run Runner, died func(pid, status int, err error)) (*sink, error) {
	file, c, err := startCommand(args(spec, name), name, run, died)
	if err != nil {
		return nil, fmt.Errorf("log file %q needs logger(1): %w", spec, err)
	}
	return &sink{spec: spec, file: file, command: c}, nil
}

// args are the arguments of a log command.
func args(spec, name string) []string {
	if tag, is := strings.CutPrefix(spec, "syslog:"); is {
		return []string{"logger", "-t", cmp.Or(tag, name)} // without a shell, so a tag may have any letters
	}
	return argv(strings.TrimPrefix(strings.TrimSpace(spec), "|"))
}

// drainTime bounds how long close waits for a command.
const drainTime = 2 * time.Second

// close lets go of the log. It waits, for two seconds at most, until a log command
// has read everything and ended. A command ends when no other process has the log
// open. One that takes longer goes on alone.
func (s *sink) close() error {
	if s.command != nil {
		s.command.expectEnd() // or it would end with its input, and be started again
	}
	err := s.file.Close()
	if s.command != nil {
		s.command.drain(drainTime)
	}
	return err
}

// abandon is close, but it leaves a log command of the last image alone: that may go on with it.
func (s *sink) abandon() error {
	if s.adopted {
		return nil
	}
	return s.close()
}

// shellWords are the characters that make a command line more than words between blanks.
const shellWords = "$&*(){}[]'\";\\|?<>~`\n#=%"

// argv is a command line as arguments. A plain one is run as it is: it needs no
// shell, and no shell process stands between. The shell runs any other one.
func argv(line string) []string {
	words := strings.Fields(line)
	if strings.ContainsAny(line, shellWords) || words[0] == "exec" {
		return []string{"/bin/sh", "-c", line}
	}
	return words
}
