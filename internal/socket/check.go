package socket

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Lookup finds users and groups by name or number.
type Lookup struct {
	User  func(name string) (uid int, err error)
	Group func(name string) (gid int, err error)
}

// Check checks what the specifications need of the system, and changes nothing there:
// each fd://N has to be a socket that can be handed over, owners and groups have to
// exist, and we have to be allowed to give paths to them. It stores the numbers of owners
// and groups in specs, for Bind. The error names every fault, a line each, but of the
// descriptors only the first few. It blocks as long as the lookups do.
func Check(specs []Spec, lookup Lookup) error {
	var faults []error
	paths := map[string]bool{}
	for _, s := range specs {
		if s.Path != "" {
			paths[s.Path] = true
		}
	}
	missing := 0
	for i := range specs {
		s := &specs[i]
		if s.Taken && missing < manyMissing {
			found := s.checkTaken(paths)
			faults = append(faults, found...)
			missing += len(found)
		}
		faults = append(faults, s.checkOwner(lookup)...)
	}
	return errors.Join(faults...)
}

// manyMissing is the number of faults after which no more descriptors are looked at.
const manyMissing = 5

func (s *Spec) checkTaken(paths map[string]bool) []error {
	found, err := inspect(s.Source)
	if err != nil {
		return []error{fmt.Errorf("socket %q: %w", s.Text, err)}
	}
	faults := s.fits(found)
	if paths[found.name] { // binding the path would remove this socket's file
		faults = append(faults, fmt.Errorf("socket %q: it is bound to %q, which is also asked for as a path", s.Text, found.name))
	}
	return faults
}

func (s *Spec) checkOwner(lookup Lookup) []error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("path %q: %s", s.Text, fmt.Sprintf(format, args...)))
	}
	self := os.Geteuid()
	if s.Owner != "" {
		uid, err := lookup.User(s.Owner)
		switch {
		case err != nil:
			fault("owner %q: %v", s.Owner, err)
		case self != 0 && uid != self:
			fault("owner %q: only root can give a file to another user", s.Owner)
		}
		s.uid = uid + 1
	}
	if s.Group != "" {
		gid, err := lookup.Group(s.Group)
		switch {
		case err != nil:
			fault("group %q: %v", s.Group, err)
		case self != 0 && !inGroup(gid):
			fault("group %q: only root can give a file to a group that it is not in", s.Group)
		}
		s.gid = gid + 1
	}
	return faults
}

func inGroup(gid int) bool {
	groups, _ := os.Getgroups()
	return gid == os.Getegid() || slices.Contains(groups, gid)
}
