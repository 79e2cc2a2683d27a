package cmdline

import (
	"fmt"
	"runtime/debug"
)

// commit is the commit that the program was built from. -ldflags=-X sets it where Go does not
// see the repository, such as in an image.
var commit string

// Version returns what a command prints for --version: its name, the module's name, the
// version, and the commit it was built from if that is known.
func Version(name, version string) string {
	return fmt.Sprintf("%s (go-server-starter) %s", name, Release(version))
}

// Release returns a version, and the commit that it was built from if that is known.
func Release(version string) string {
	from := commit
	if info, ok := debug.ReadBuildInfo(); ok && from == "" {
		from = builtFrom(info)
	}
	if from != "" {
		from = fmt.Sprintf(" (commit %s)", from)
	}
	return version + from
}

// builtFrom returns the commit that Go has noted. A program that was downloaded as a module has
// a version instead, which holds the commit if it is a pseudo-version.
func builtFrom(info *debug.BuildInfo) string {
	noted := map[string]string{}
	for _, s := range info.Settings {
		noted[s.Key] = s.Value
	}
	const short = 12
	switch revision := noted["vcs.revision"]; {
	case revision == "" && info.Main.Sum != "":
		return info.Main.Version
	case noted["vcs.modified"] == "true":
		return revision[:min(short, len(revision))] + "-dirty"
	default:
		return revision[:min(short, len(revision))]
	}
}
