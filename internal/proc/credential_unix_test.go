//go:build unix

package proc

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// noUser is a number that no user has.
const noUser = "4000000001"

func TestCredentialIsLookedUpByNameOrNumber(t *testing.T) {
	t.Parallel()
	c, err := LookupCredential("", "")
	require.NoError(t, err)
	assert.Nil(t, c)
	assert.NoError(t, c.Check(), "no change needs nothing")

	nobody, err := user.Lookup("nobody")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "there is no user nobody here, and in CI nothing is skipped")
		t.Skip("there is no user nobody here")
	}
	group, err := user.LookupGroupId("0")
	require.NoError(t, err)
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)

	for _, name := range []string{"nobody", nobody.Uid} {
		c, err = LookupCredential(name, "")
		require.NoError(t, err)
		assert.Equal(t, []int{uid, gid}, []int{c.UID, c.GID})
		assert.Contains(t, c.Groups, gid)
		for _, groupName := range []string{"0", group.Name} {
			c, err = LookupCredential(name, groupName)
			require.NoError(t, err)
			assert.Equal(t, []int{uid, 0}, []int{c.UID, c.GID}, "the group instead of the user's own")
			assert.Contains(t, c.Groups, 0)
			assert.NotContains(t, c.Groups, gid)
		}
		got, err := LookupUser(name)
		require.NoError(t, err)
		assert.Equal(t, uid, got)
	}

	c, err = LookupCredential(noUser, "0")
	require.NoError(t, err)
	assert.Equal(t, []int{4000000001, 0}, []int{c.UID, c.GID})
	assert.Equal(t, []int{0}, c.Groups, "only its group")
	got, err := LookupUser(noUser)
	require.NoError(t, err)
	assert.Equal(t, 4000000001, got)
	got, err = LookupGroup(noUser)
	require.NoError(t, err)
	assert.Equal(t, 4000000001, got)

	ours, err := syscall.Getgroups()
	require.NoError(t, err)
	c, err = LookupCredential("", "0")
	require.NoError(t, err)
	assert.Equal(t, []int{os.Geteuid(), 0}, []int{c.UID, c.GID})
	assert.ElementsMatch(t, ours, c.Groups, "ours")
}

func TestUnknownUsersAndGroupsAreNamed(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][2]string{
		`user "no-such-user" is not known to this system`:                            {"no-such-user", ""},
		`group "no-such-group" is not known to this system`:                          {"", "no-such-group"},
		`user "-1" is not known to this system`:                                      {"-1", ""},
		`user "4294967295" is not known to this system`:                              {"4294967295", "0"},
		`user "` + noUser + `" has no entry in the user database: give a group, too`: {noUser, ""},
	} {
		_, err := LookupCredential(names[0], names[1])
		assert.EqualError(t, err, want)
	}
	_, err := LookupUser("")
	assert.EqualError(t, err, `user "" is not known to this system`)
	_, err = LookupGroup("x y")
	assert.EqualError(t, err, `group "x y" is not known to this system`)
}

func TestWhatWeAreAlreadyNeedsNoPrivilege(t *testing.T) {
	t.Parallel()
	groups, err := syscall.Getgroups()
	require.NoError(t, err)
	c := &Credential{UID: os.Getuid(), GID: os.Getgid(), Groups: groups, who: "user ourselves"}
	user, other := c.differs()
	assert.False(t, user)
	assert.False(t, other)
	assert.NoError(t, c.Check())
	c.Groups = append([]int{c.GID}, groups...) // our own group counts anyway
	_, other = c.differs()
	assert.False(t, other)
	c.Groups = append(c.Groups, 54321)
	_, other = c.differs()
	assert.True(t, other)
}
