package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// tools are the programs to measure, and a directory for all files.
type tools struct {
	dir      string
	ours     string
	original string // "": it is not installed
	worker   string
}

const module = "github.com/lestrrat/go-server-starter"

// build makes our programs, stripped and static as a distribution would.
func build(ctx context.Context, dir string) (tools, error) {
	t := tools{
		dir:      dir,
		ours:     filepath.Join(dir, "start_server"),
		worker:   filepath.Join(dir, "worker"),
		original: findOriginal(),
	}
	for path, pkg := range map[string]string{
		t.ours:   module + "/cmd/start_server",
		t.worker: module + "/bench/worker",
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return tools{}, fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
		}
	}
	return t, nil
}

// findOriginal finds the Perl program. A start_server in PATH may be ours; the
// first line of the original names perl.
func findOriginal() string {
	candidates := []string{"/usr/bin/start_server"}
	if path, err := exec.LookPath("start_server"); err == nil {
		candidates = append(candidates, path)
	}
	for _, path := range candidates {
		if isPerl(path) {
			return path
		}
	}
	return ""
}

func isPerl(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 128)
	n, _ := f.Read(head) // a file that cannot be read is not the original
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	return bytes.HasPrefix(line, []byte("#!")) && bytes.Contains(line, []byte("perl"))
}

func (t tools) hasOriginal() bool { return t.original != "" }
