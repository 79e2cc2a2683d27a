package launch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// What an envdir may hold: a larger one would slow every start down. execve(2) takes no
// environment of more than 6 MB.
const (
	maxVariables   = 10000
	maxEnvironment = 6 << 20
)

// ReadEnvDir reads variables from the files in dir, as daemontools' envdir does: a
// file's name is the name of a variable, and its first line is the value.
func ReadEnvDir(dir string) ([]string, error) {
	pairs, err := readEnvDir(dir)
	if err != nil {
		return nil, nameable{fmt.Errorf("envdir: %w", err)}
	}
	return pairs, nil
}

func readEnvDir(dir string) ([]string, error) {
	open, err := fd.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer open.Close()
	entries, err := open.ReadDir(maxVariables + 1)
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case len(entries) > maxVariables:
		return nil, fmt.Errorf("there are more than %d files in %q", maxVariables, dir)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	var pairs []string
	size := 0
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		value, empty, err := firstLine(open, name)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fd.ErrNotRegular), empty:
			continue // one that does not exist was removed meanwhile, or is a symlink to nothing
		case strings.Contains(name, "="):
			return nil, fmt.Errorf("%q cannot name a variable, because of the =", filepath.Join(dir, name))
		case err != nil:
			return nil, err
		}
		pairs = append(pairs, name+"="+value)
		if size += len(name) + len(value); size > maxEnvironment {
			return nil, fmt.Errorf("the variables in %q have more than %d bytes", dir, maxEnvironment)
		}
	}
	return pairs, nil
}

// firstLine reads the first line of a file in a directory. empty says that the file is
// empty.
func firstLine(dir *os.File, name string) (line string, empty bool, err error) {
	f, err := fd.OpenIn(dir, name)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	line, err = bufio.NewReader(io.LimitReader(f, maxVariable)).ReadString('\n')
	empty = line == ""
	line = strings.TrimSuffix(line, "\n")
	switch {
	case err != nil && err != io.EOF:
		return "", false, err
	case len(name)+1+len(line)+1 > maxVariable:
		return "", false, fmt.Errorf("%s: its first line is too long: a variable may have %d bytes with its name", f.Name(), maxVariable)
	case strings.Contains(line, "\x00"):
		return "", false, fmt.Errorf("%s: its first line holds a NUL, which no variable can", f.Name())
	}
	return line, empty, nil
}

// nameable is an error that may hold file names which others chose. It is one printable
// line, so that no file name can forge a line of the log.
type nameable struct{ error }

func (n nameable) Error() string { return text.Line(n.error.Error()) }

func (n nameable) Unwrap() error { return n.error }
