package pages

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// beyond matches what packages have and make install does not install.
var beyond = regexp.MustCompile(`^(/|share/doc/|share/start-server/)`)

// packaged returns the files that packaging/contents names below the prefix.
func packaged(t *testing.T) (files []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "packaging/contents"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		require.Len(t, words, 3, line)
		source, place := words[1], words[2]
		if beyond.MatchString(place) {
			continue
		}
		found := []string{source}
		if !strings.HasPrefix(source, "BIN/") {
			found, err = filepath.Glob(filepath.Join(root, source))
			require.NoError(t, err)
			require.NotEmpty(t, found, "packaging/contents: there is no %s", source)
		}
		for _, file := range found {
			if strings.HasSuffix(place, "/") {
				file = place + path.Base(filepath.ToSlash(file))
			} else {
				file = place
			}
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files
}

// install runs make and installs below staged. The programs are empty files.
func install(t *testing.T, staged string, targets ...string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	for _, file := range packaged(t) {
		if name, is := strings.CutPrefix(file, "bin/"); is {
			require.NoError(t, os.WriteFile(filepath.Join(bin, name), nil, 0o700))
		}
	}
	made := exec.Command("make", append([]string{"-C", root, "DESTDIR=" + staged, "PREFIX=/usr", "BIN=" + bin}, targets...)...)
	printed, err := made.CombinedOutput()
	require.NoError(t, err, "%s", printed)
}

// installed returns the files below a directory.
func installed(t *testing.T, below string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(below, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			relative, _ := filepath.Rel(below, file)
			files = append(files, filepath.ToSlash(relative))
		}
		return err
	}))
	slices.Sort(files)
	return files
}

func TestInstallAndPackagesHaveTheSameFiles(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil || runtime.GOOS == "windows" {
		t.Skip("no make")
	}
	staged := t.TempDir()
	install(t, staged, "install")
	assert.Equal(t, packaged(t), installed(t, filepath.Join(staged, "usr")))
	install(t, staged, "uninstall")
	assert.Empty(t, installed(t, staged))
}
