package proc

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limit is a resource limit of a program (setrlimit(2)), in the kernel's units.
type Limit struct {
	Name       string // as prlimit(1) has it: nofile, nproc, ...
	Soft, Hard uint64 // unlimited is the greatest there is
}

// unlimited is RLIM_INFINITY.
const unlimited = math.MaxUint64

// ParseLimits reads limits, each NAME=SOFT or NAME=SOFT:HARD. SOFT alone is both, and
// each is a number or "unlimited". The error names what is wrong with the first bad one.
func ParseLimits(texts []string) ([]Limit, error) {
	var limits []Limit
	for _, text := range texts {
		limit, err := parseLimit(text)
		if err != nil {
			return nil, fmt.Errorf("limit %q: %w", text, err)
		}
		if slices.ContainsFunc(limits, func(l Limit) bool { return l.Name == limit.Name }) {
			return nil, fmt.Errorf("limit %q: %s is there twice", text, limit.Name)
		}
		limits = append(limits, limit)
	}
	return limits, nil
}

func parseLimit(text string) (l Limit, err error) {
	name, values, ok := strings.Cut(text, "=")
	switch _, known := resources[name]; {
	case len(resources) == 0:
		return l, fmt.Errorf("limits can be set on Linux only")
	case !known:
		return l, fmt.Errorf("%q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(resources)), ", "))
	case !ok:
		return l, fmt.Errorf("its value is missing: NAME=SOFT or NAME=SOFT:HARD")
	}
	soft, hard, both := strings.Cut(values, ":")
	if !both {
		hard = soft
	}
	l.Name = name
	if l.Soft, err = parseLimitValue(soft); err != nil {
		return l, err
	}
	if l.Hard, err = parseLimitValue(hard); err != nil {
		return l, err
	}
	if l.Soft > l.Hard {
		return l, fmt.Errorf("the soft limit %s is greater than the hard limit %s", soft, hard)
	}
	return l, nil
}

func parseLimitValue(text string) (uint64, error) {
	if text == "unlimited" {
		return unlimited, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf(`%q is neither a number nor "unlimited"`, text)
	}
	return n, nil
}
