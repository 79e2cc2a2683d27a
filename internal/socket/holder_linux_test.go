package socket

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
)

func TestWhoHasAnAddressIsNamed(t *testing.T) {
	t.Parallel()
	taken := errors.New("bind: address already in use")
	gone := func(n int) int { return noProcess + n }
	named := fmt.Sprintf("bind: address already in use; stop it: process %d (gone)", noProcess)
	for _, c := range []struct {
		pids []int
		want string
	}{
		{nil, "bind: address already in use; stop it"}, // of a user whose processes we may not see
		{[]int{gone(0)}, named + " has it"},
		{[]int{os.Getpid()}, "bind: address already in use: this process has it, as another socket that was asked for or passed to it"},
		{[]int{gone(0), gone(1), gone(2)}, fmt.Sprintf("%s, process %d (gone), process %d (gone) have it", named, gone(1), gone(2))},
		{[]int{gone(0), gone(1), gone(2), gone(3), gone(4)}, fmt.Sprintf("%s, process %d (gone), process %d (gone), 2 more have it", named, gone(1), gone(2))},
	} {
		err := &InUseError{c.pids, taken, "stop it"}
		assert.EqualError(t, err, c.want)
		assert.ErrorIs(t, err, taken)
	}
	nobody := Socket{Spec: Spec{Path: filepath.Join(testkit.Dir(t), "s")}}
	assert.Empty(t, nobody.holders())
}

func TestHoldersAreAllThatHaveTheSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "a b")
	set := bind(t, Options{}, []string{"127.0.0.1:0", "127.0.0.1:u0"}, []string{path})
	for i := range set.Sockets {
		s := &set.Sockets[i]
		s.Port = s.bound.Port()
		assert.Equal(t, []int{os.Getpid()}, s.holders(), s.Text)
		other, another := leftBehind(t, s.fd).Pid, leftBehind(t, s.fd, s.fd).Pid
		holders := s.holders()
		assert.ElementsMatch(t, []int{os.Getpid(), other, another}, holders, "%s: each once", s.Text)
		assert.IsIncreasing(t, holders)
	}
}
