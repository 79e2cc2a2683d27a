//go:build unix

package socket

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOwnersAreFoundByNameOrNumber(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can give files away, and in CI nothing is skipped")
		t.Skip("only root can give files away")
	}
	specs, err := Parse(nil, []string{"/a,owner=alice,group=staff", "/b,owner=12,group=0", "/c", "/d,group=staff"})
	require.NoError(t, err)
	require.NoError(t, Check(specs, Lookup{
		User:  func(name string) (int, error) { return map[string]int{"alice": 7, "12": 12}[name], nil },
		Group: func(name string) (int, error) { return map[string]int{"staff": 8}[name], nil },
	}))
	var found [][2]int
	for _, s := range specs {
		found = append(found, [2]int{s.uid - 1, s.gid - 1})
	}
	assert.Equal(t, [][2]int{{7, 8}, {12, 0}, {-1, -1}, {-1, 8}}, found)
}

func TestEveryFaultOfTheSystemIsNamed(t *testing.T) {
	t.Parallel()
	specs, err := Parse([]string{fmt.Sprintf("fd://%d,80", maxFD)}, []string{"/a,owner=alice,group=staff", "/b,owner=4294967295", "/c"})
	require.NoError(t, err)
	unknown := func(name string) (int, error) { return 0, errors.New("unknown") }
	err = Check(specs, Lookup{User: unknown, Group: unknown})
	require.Error(t, err)
	assert.Equal(t, []string{
		`socket "fd://1048575": descriptor 1048575 is not open`,
		`path "/a": owner "alice": unknown`,
		`path "/a": group "staff": unknown`,
		`path "/b": owner "4294967295": unknown`,
	}, strings.Split(err.Error(), "\n"))
}

func TestDescriptorsThatAreNotThereAreNamedUpToAPoint(t *testing.T) {
	t.Parallel()
	var ports []string
	for i := range 9 {
		ports = append(ports, fmt.Sprintf("fd://%d", maxFD-i))
	}
	specs, err := Parse(ports, nil)
	require.NoError(t, err)
	err = Check(specs, Lookup{})
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 5)
	assert.ErrorContains(t, err, fmt.Sprintf("descriptor %d is not open", maxFD-4))
}
