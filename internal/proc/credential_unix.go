//go:build unix

package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/trampoline"
)

// LookupUser is the number of a user given by name or number. As with chown(1), digits
// are looked up as a name first. A number needs no entry in the user database.
func LookupUser(name string) (uid int, err error) {
	_, uid, err = findUser(name)
	return uid, err
}

// LookupGroup is LookupUser for groups.
func LookupGroup(name string) (gid int, err error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		return parseID(g.Gid)
	}
	if gid, err := parseID(name); err == nil {
		return gid, nil
	}
	return 0, notFound("group", name, err)
}

// LookupCredential finds a user and a group, each given by name or number. If both are
// empty the result is nil: run as we do. Without a user it is ours, with our
// supplementary groups. Without a group it is the user's own. A user has the
// supplementary groups that initgroups(3) gives. A number without an entry in the user
// database has none, and needs a group, as for chroot(1): ours may be root's.
func LookupCredential(userName, groupName string) (*Credential, error) {
	if userName == "" && groupName == "" {
		return nil, nil
	}
	c := &Credential{UID: syscall.Geteuid(), who: "group " + groupName}
	var entry *user.User
	var err error
	if userName != "" {
		c.who = "user " + userName
		if entry, c.UID, err = findUser(userName); err != nil {
			return nil, err
		}
	}
	if entry != nil {
		c.Name, c.Home = entry.Username, entry.HomeDir
	}
	switch {
	case groupName != "":
		if c.GID, err = LookupGroup(groupName); err != nil {
			return nil, err
		}
	case entry == nil:
		return nil, fmt.Errorf("user %q has no entry in the user database: give a group, too", userName)
	default:
		if c.GID, err = parseID(entry.Gid); err != nil {
			return nil, fmt.Errorf("user %q: its group: %w", userName, err)
		}
	}
	switch {
	case userName == "":
		c.Groups, err = syscall.Getgroups()
	case entry == nil:
		c.Groups = []int{c.GID}
	default:
		c.Groups, err = initGroups(entry, c.GID)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: its supplementary groups: %w", c.who, err)
	}
	return c, nil
}

// findUser returns a nil entry for a number that is not in the user database.
func findUser(name string) (entry *user.User, uid int, err error) {
	entry, err = user.Lookup(name)
	if err != nil {
		number, numberErr := parseID(name)
		if numberErr != nil {
			return nil, 0, notFound("user", name, err)
		}
		if entry, err = user.LookupId(strconv.Itoa(number)); err != nil {
			return nil, number, nil
		}
	}
	uid, err = parseID(entry.Uid)
	if err != nil {
		return nil, 0, fmt.Errorf("user %q: %w", name, err)
	}
	return entry, uid, nil
}

func notFound(kind, name string, err error) error {
	var noUser user.UnknownUserError
	var noGroup user.UnknownGroupError
	if errors.As(err, &noUser) || errors.As(err, &noGroup) {
		return fmt.Errorf("%s %q is not known to this system", kind, name)
	}
	return fmt.Errorf("%s %q: %w", kind, name, err)
}

// parseID accepts the IDs of setresuid(2), to which -1 means "leave it".
func parseID(text string) (int, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id == math.MaxUint32 {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", text, uint32(math.MaxUint32-1))
	}
	return int(id), nil
}

// initGroups are the groups that list the user, and gid.
func initGroups(entry *user.User, gid int) ([]int, error) {
	member := *entry
	member.Gid = strconv.Itoa(gid) // not the one in the database
	texts, err := member.GroupIds()
	if errors.Is(err, fs.ErrNotExist) {
		return []int{gid}, nil // a container without /etc/group
	}
	if err != nil {
		return nil, err
	}
	var groups []int
	for _, text := range texts {
		id, err := parseID(text)
		if err != nil {
			return nil, err
		}
		groups = append(groups, id)
	}
	return groups, nil
}

// Check says why this process may not start another with the credential. It may if it is
// root, has the capabilities, or has these IDs already. A nil Credential is always right.
func (c *Credential) Check() error {
	if c == nil {
		return nil
	}
	user, groups := c.differs()
	switch {
	case user && maySetUID() && !maySignal():
		return fmt.Errorf("cannot switch to %s: without CAP_KILL we could not signal it", c.who)
	case (!user || maySetUID()) && (!groups || maySetGID()):
		return nil
	case syscall.Geteuid() == 0:
		return fmt.Errorf("cannot switch to %s: root lacks CAP_SETUID or CAP_SETGID here", c.who)
	case user:
		return fmt.Errorf("cannot switch to %s: that needs root", c.who)
	default:
		return fmt.Errorf("cannot switch to the groups of %s: that needs root", c.who)
	}
}

// differs tells which of our IDs differ from these: to change them takes privileges.
func (c *Credential) differs() (user, groups bool) {
	user, group := otherIDs(c.UID, c.GID)
	return user, group || !c.hasGroups()
}

// hasGroups tells whether we are in the same groups. It makes no difference to our rights
// whether our own group is listed among the supplementary ones.
func (c *Credential) hasGroups() bool {
	have, err := syscall.Getgroups()
	if err != nil {
		return false
	}
	set := func(groups []int) []int {
		groups = append(slices.Clone(groups), c.GID)
		slices.Sort(groups)
		return slices.Compact(groups)
	}
	return slices.Equal(set(have), set(c.Groups))
}

func (c *Credential) identity() *trampoline.Identity {
	if c == nil {
		return nil
	}
	// If we may, we set the groups even where only the listing of our own group differs.
	return &trampoline.Identity{UID: c.UID, GID: c.GID, Groups: c.Groups, NewGroups: maySetGID() || !c.hasGroups()}
}
