// Package internal_test checks that imports go down only, as the design draws the house.
package internal_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/lestrrat/go-server-starter"

// storeys are the packages of the module, the lowest first: each may import those of
// lower storeys and none of its own. A package that is not there is not missed; one that
// stands nowhere is a fault, so that whoever adds a room says where it belongs.
var storeys = [][]string{
	{"internal/text", "internal/lineedit", "internal/pages", "listener", "bench/internal/protocol"},
	{"internal/fd", "internal/supervise", "internal/fdenv", "internal/trampoline", "internal/signals", "internal/probe/wire", "internal/testkit"},
	{"internal/socket", "internal/proc", "internal/output", "internal/control", "internal/runfile", "internal/notify", "internal/cmdline", "internal/prober"},
	{"internal/launch", "internal/report", "internal/command", "internal/ctl", "internal/probe", "internal/monitor/collect"},
	{"internal/survive"},
	{"internal/handover"},
	{"", "internal/monitor/metrics", "internal/monitor/web"}, // "" is package starter
	{
		"cmd/start_server", "cmd/start_server_probe", "cmd/start_server_monitor", "cmd/socketmaster", "cmd/einhyrningsins", "cmd/einhyrningsinsctl",
		"bench", "bench/worker", "e2e", "examples/hello", "examples/events", "examples/streams", "examples/websocket", "internal", "internal/pages/man", "packaging/sbom",
	},
}

// pure is what a room may not import directly, itself or what is below it.
var pure = map[string][]string{
	"internal/supervise": {"os/exec", "os/signal", "syscall", "net", "golang.org/x/sys"},
	"listener":           {module},
}

// imports are those of each package of the module, on an operating system.
func imports(t *testing.T, system string) map[string][]string {
	t.Helper()
	// go test does not know what go list reads, and would have a result in its cache
	// outlive a change of it: so this process looks at each directory.
	require.NoError(t, filepath.WalkDir("..", func(string, fs.DirEntry, error) error { return nil }))
	list := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...")
	list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
	var faults strings.Builder
	list.Stderr = &faults
	printed, err := list.Output()
	require.NoError(t, err, faults.String())
	found := map[string][]string{}
	for in := json.NewDecoder(strings.NewReader(string(printed))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			return found
		} else {
			require.NoError(t, err)
		}
		found[room(p.ImportPath)] = p.Imports
	}
}

// room is a package's path in the module, "" for package starter.
func room(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

// within tells that path is that of a package or of one below it.
func within(path, above string) bool {
	return path == above || strings.HasPrefix(path, above+"/")
}

// storey is where a room stands, -1 if nowhere.
func storey(room string) int {
	return slices.IndexFunc(storeys, func(rooms []string) bool { return slices.Contains(rooms, room) })
}

func TestImportsGoDownOnly(t *testing.T) {
	t.Parallel()
	for _, system := range []string{"linux", "darwin", "windows"} {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			all := imports(t, system)
			require.Contains(t, all, "")
			require.Contains(t, all, "internal/supervise")
			for importer, paths := range all {
				at := storey(importer)
				assert.GreaterOrEqual(t, at, 0, "%q stands on no storey", importer)
				for _, path := range paths {
					if within(path, module) {
						assert.Less(t, storey(room(path)), at, "%q imports %q", importer, room(path))
					}
					for _, refused := range pure[importer] {
						assert.False(t, within(path, refused), "%q imports %q", importer, path)
					}
				}
			}
		})
	}
}

// below are the packages that one needs, those of the standard library too.
func below(t *testing.T, room string) []string {
	t.Helper()
	printed, err := exec.Command("go", "list", "-deps", module+"/"+room).Output()
	require.NoError(t, err)
	return strings.Fields(string(printed))
}

func TestListenerNeedsTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	for _, path := range below(t, "listener") {
		first, _, _ := strings.Cut(path, "/")
		assert.True(t, !strings.Contains(first, ".") || path == module+"/listener", path)
	}
}

// What needs them is a process of its own.
func TestStartServerNeedsNoBigLibrary(t *testing.T) {
	t.Parallel()
	needed := below(t, "cmd/start_server")
	assert.Contains(t, needed, module, "they are listed")
	for _, path := range needed {
		for _, big := range []string{"net/http", "crypto", "encoding/json", "text/template", "html", "testing", "github.com/prometheus", "github.com/fsnotify"} {
			assert.False(t, within(path, big), "start_server needs %q", path)
		}
	}
}

func TestContributorsFindEachRoom(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../CONTRIBUTING.md")
	require.NoError(t, err)
	for _, rooms := range storeys {
		for _, room := range rooms {
			parts := strings.Split(room, "/")
			if parts[0] == "internal" || parts[0] == "cmd" {
				room = strings.Join(parts[:min(2, len(parts))], "/")
			} else {
				room = parts[0]
			}
			if room != "" && room != "internal" {
				assert.Contains(t, string(text), "`"+room+"`", "CONTRIBUTING.md does not say what is there")
			}
		}
	}
}

// A function fits a screen, and a file is one idea.
func TestFunctionsAndFilesAreShort(t *testing.T) {
	t.Parallel()
	const longest, largest = 60, 500 // lines
	files := 0
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		line := func(p token.Pos) int { return set.Position(p).Line }
		assert.LessOrEqual(t, line(file.FileEnd), largest+1, path)
		for _, d := range file.Decls {
			if f, is := d.(*ast.FuncDecl); is {
				assert.LessOrEqual(t, line(f.End())-line(f.Pos())+1, longest, "%s: %s", path, f.Name)
			}
		}
		return nil
	}))
	assert.Greater(t, files, 300)
}
