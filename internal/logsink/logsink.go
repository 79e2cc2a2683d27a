// Package logsink is where the output of a superdaemon and its workers goes: a
// file, or the standard input of a command that is kept running, which logger(1)
// is for the local syslog.
package logsink

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Sink is an open log. Workers are given its file as their stdout and stderr,
// so nothing stands between them and their log.
type Sink struct {
	file    *os.File
	command *command // nil for a file
}

// Process is a run of a log command.
type Process interface {
	Pid() int
	Wait() int // until it has ended; its raw wait status
}

// Runner starts a log command with these descriptors as 0, 1 and 2, and no
// others.
type Runner func(args []string, files []int) (Process, error)

// Open opens the log that spec names: a file, which is appended to, or after a
// "|" a command, which run starts, and whose stdin it becomes. "syslog:TAG" is
// such a command, too, logger(1) with that tag; without one it is start_server.
// died is told whenever the command has ended, by its raw wait status, or cannot be
// started again; it may be called from any goroutine. Our own stderr, as it is now, is
// told, too, by the superdaemon's name.
func Open(name, spec string, run Runner, died func(pid, status int, err error)) (*Sink, error) {
	if err := Check(spec); err != nil {
		return nil, err
	}
	if tag, ok := strings.CutPrefix(spec, "syslog:"); ok {
		return openSyslog(name, spec, tag, run, died)
	}
	line, piped := strings.CutPrefix(strings.TrimSpace(spec), "|")
	if !piped {
		f, err := openFile(spec)
		if err != nil {
			return nil, fmt.Errorf("log file: %w", err)
		}
		return &Sink{file: f}, nil
	}
	file, c, err := startCommand(name, argv(line), run, died)
	if err != nil {
		return nil, fmt.Errorf("log command %q: %w", strings.TrimSpace(line), err)
	}
	return &Sink{file, c}, nil
}

// defaultTag is what the lines in the syslog begin with.
const defaultTag = "start_server"

// Check says what is wrong with spec, as far as that can be known without opening it.
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

func openSyslog(name, spec, tag string, run Runner, died func(pid, status int, err error)) (*Sink, error) {
	if tag == "" {
		tag = defaultTag
	}
	file, c, err := startCommand(name, []string{"logger", "-t", tag}, run, died) // by no shell, so a tag may have any letters
	if err != nil {
		return nil, fmt.Errorf("log file %q needs logger(1): %w", spec, err)
	}
	return &Sink{file, c}, nil
}

// File is the open file to write to. It belongs to the Sink.
func (s *Sink) File() *os.File { return s.file }

// drainTime bounds how long Close waits for a command.
const drainTime = 2 * time.Second

// Close lets go of the log. With a command it waits, for two seconds at most,
// until that has read everything and ended, as it does once nobody else holds
// the log either. A command that takes longer goes on alone.
func (s *Sink) Close() error {
	if s.command != nil {
		s.command.expectEnd() // or it would end by this, and be started again
	}
	err := s.file.Close()
	if s.command != nil {
		s.command.drain(drainTime)
	}
	return err
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
