// Command man writes the man pages into the directory that it is given. It prepares pages of the
// documentation for go-md2man, and cleans up what that writes.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/pages"
)

// md2man makes man pages from Markdown.
const md2man = "github.com/cpuguy83/go-md2man/v2@v2.0.7"

// manual is a man page, and the page that it is made of.
type manual struct{ name, section, page string }

var manuals = []manual{
	{"start_server", "1", "docs/options.md"},
	{"socketmaster", "1", "docs/socketmaster.md"},
	{"einhyrningsins", "1", "docs/einhyrningsins.md"},
	{"einhyrningsinsctl", "1", "docs/einhyrningsinsctl.md"},
	{"start_server_monitor", "1", "docs/monitor.md"},
	{"start_server-control", "7", "docs/control.md"},
}

// file is the name of the man page's file.
func (m manual) file() string { return m.name + "." + m.section }

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: man REPOSITORY DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

// write makes all man pages of the repository at root.
func write(root, dir string) error {
	date, err := released(root)
	if err != nil {
		return err
	}
	for _, m := range manuals {
		text, err := os.ReadFile(filepath.Join(root, m.page))
		if err != nil {
			return err
		}
		title := fmt.Sprintf("%% %s %s %q %q\n\n", strings.ToUpper(m.name), m.section, date, "go-server-starter "+starter.Version)
		convert := exec.Command("go", "run", md2man)
		convert.Stdin = strings.NewReader(title + markdown(pages.New(m.page, string(text))))
		var roff, faults bytes.Buffer
		convert.Stdout, convert.Stderr = &roff, &faults
		if err := convert.Run(); err != nil {
			return fmt.Errorf("go run %s: %w: %s", md2man, err, &faults)
		}
		if err := os.WriteFile(filepath.Join(dir, m.file()), []byte(clean(roff.String())), 0o644); err != nil {
			return err
		}
	}
	return nil
}

var datePattern = regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(starter.Version) + `\b.*(\d{4}-\d\d-\d\d)`)

// released returns the date that Changes has for this version.
func released(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "Changes"))
	if err != nil {
		return "", err
	}
	found := datePattern.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("no date for %s in Changes", starter.Version)
	}
	return string(found[1]), nil
}
