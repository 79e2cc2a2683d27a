package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// envDirOf makes a directory with these files.
func envDirOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

func TestEnvDirFileIsAVariable(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{
		"PLAIN":    "value\n",
		"LINES":    "first\nsecond\n",
		"UNENDED":  "value",
		"BLANKS":   " \tvalue \t\n",
		"DOS":      "value\r\n",
		"EQUALS":   "a=b=c\n",
		"EMPTY":    "",
		"BLANK":    "\nsecond\n",
		".HIDDEN":  "value\n",
		"..data":   "value\n",
		"with.dot": "value\n",
		"low":      "\xff\xfe\n",
	})
	require.NoError(t, os.Mkdir(filepath.Join(dir, "DIRECTORY"), 0o755))
	pairs, err := ReadEnvDir(dir)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{
		"PLAIN=value", "LINES=first", "UNENDED=value", "BLANKS= \tvalue \t", "DOS=value\r",
		"EQUALS=a=b=c", "BLANK=", "with.dot=value", "low=\xff\xfe",
	}, pairs)
}

// symlink makes a symlink. Windows lets only some users do so.
func symlink(t *testing.T, to, path string) {
	t.Helper()
	err := os.Symlink(to, path)
	if err != nil && runtime.GOOS == "windows" {
		t.Skip(err)
	}
	require.NoError(t, err)
}

func TestEnvDirFollowsSymlinks(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{".real": "value\n"})
	symlink(t, ".real", filepath.Join(dir, "LINK"))
	pairs, err := ReadEnvDir(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"LINK=value"}, pairs)
}

// A file may be removed while the directory is read; a symlink to nothing
// looks the same. It must not cost an attempt to start a worker.
func TestEnvDirFileThatVanishesIsPassedOver(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{"A": "value\n"})
	symlink(t, "nowhere", filepath.Join(dir, "GONE"))
	pairs, err := ReadEnvDir(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"A=value"}, pairs)
}

func TestEnvDirFaultIsNamed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"LONG":  strings.Repeat("x", maxVariable),
		"NUL":   "a\x00b\n",
		"A=B":   "value\n",
		"LONG2": strings.Repeat("x", 10*maxVariable) + "\n",
	} {
		dir := envDirOf(t, map[string]string{name: text, "FINE": "value\n"})
		_, err := ReadEnvDir(dir)
		assert.ErrorContains(t, err, "envdir: ", name)
		assert.ErrorContains(t, err, name)
	}
	_, err := ReadEnvDir(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// The limit is the kernel's, for NAME=VALUE and the final NUL together.
func TestEnvDirValueThatFitsOnlyWithoutItsNameIsRefused(t *testing.T) {
	t.Parallel()
	_, err := ReadEnvDir(envDirOf(t, map[string]string{"NAME": strings.Repeat("x", maxVariable-len("NAME="))}))
	assert.ErrorContains(t, err, "NAME")
	pairs, err := ReadEnvDir(envDirOf(t, map[string]string{"NAME": strings.Repeat("x", maxVariable-len("NAME=")-1)}))
	require.NoError(t, err)
	assert.Len(t, pairs, 1)
}

func TestOnlyTheFirstLineHasToBeShort(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{"A": "value\n" + strings.Repeat("x", 10*maxVariable)})
	pairs, err := ReadEnvDir(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"A=value"}, pairs)
}

// A user that may write to the envdir cannot keep us reading.
func TestEnvDirIsBounded(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for n := range maxVariables {
		files["V"+strconv.Itoa(n)] = ""
	}
	dir := envDirOf(t, files)
	pairs, err := ReadEnvDir(dir)
	require.NoError(t, err)
	assert.Empty(t, pairs)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ONE_MORE"), nil, 0o644))
	_, err = ReadEnvDir(dir)
	assert.EqualError(t, err, fmt.Sprintf("envdir: there are more than %d files in %q", maxVariables, dir))

	files = map[string]string{}
	for n := range maxEnvironment/100_000 + 1 {
		files["V"+strconv.Itoa(n)] = strings.Repeat("x", 100_000)
	}
	_, err = ReadEnvDir(envDirOf(t, files))
	assert.ErrorContains(t, err, "have more than 6291456 bytes")
}
