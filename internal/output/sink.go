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
	Wait() int // until it has ended; its raw wait status
}

// Runner starts a log command with these descriptors as 0, 1 and 2, and no
// others.
type Runner func(args []string, files []int) (Process, error)

// Check says what is wrong with the name of a log, as far as that can be known without
// opening it. It is that of a file, which is appended to, or after a "|" a command, whose
// stdin it is. "syslog:TAG" is such a command, too, logger(1) with that tag; without one
// it is the program's name.
func Check(spec string) error {
	if line, piped := strings.CutPrefix(strings.TrimSpace(spec), "|"); piped && strings.TrimSpace(line) == "" {
		return fmt.Errorf("log file %q: the command is missing", spec)
	}
	tag, ok := strings.CutPrefix(spec, "syslog:")
	if ok && (!utf8.ValidString(tag) || strings.ContainsFunc(tag, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) })) {
		return fmt.Errorf("log file %q: the tag after syslog: may have no blank, and nothing that cannot be printed", spec)
	}
	return nil
}

// openSink opens the log that spec names for the program of that name. died is told
// whenever its command has ended, by its raw wait status, or cannot be started again,
// from another goroutine.
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
		return []string{"logger", "-t", cmp.Or(tag, name)} // by no shell, so a tag may have any letters
	}
	return argv(strings.TrimPrefix(strings.TrimSpace(spec), "|"))
}

// drainTime bounds how long close waits for a command.
const drainTime = 2 * time.Second

// close lets go of the log. With a command it waits, for two seconds at most,
// until that has read everything and ended, as it does once nobody else holds
// the log either. A command that takes longer goes on alone.
func (s *sink) close() error {
	if s.command != nil {
		s.command.expectEnd() // or it would end by this, and be started again
	}
	err := s.file.Close()
	if s.command != nil {
		s.command.drain(drainTime)
	}
	return err
}

// abandon is close, but not for a log command of the last image, which may go on with it.
func (s *sink) abandon() error {
	if s.adopted {
		return nil
	}
	return s.close()
}

// shellWords are what makes a command line more than words between blanks.
const shellWords = "$&*(){}[]'\";\\|?<>~`\n#=%"

// argv is the command line as arguments: a plain one is run as it is, so that
// no shell is needed nor stands between; any other one by the shell.
func argv(line string) []string {
	words := strings.Fields(line)
	if strings.ContainsAny(line, shellWords) || words[0] == "exec" {
		return []string{"/bin/sh", "-c", line}
	}
	return words
}
