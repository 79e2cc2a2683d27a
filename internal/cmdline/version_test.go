package cmdline

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBuiltFrom(t *testing.T) {
	t.Parallel()
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "77d8de8bdba44c2d9f0a9e8d2b3c4d5e6f708192"}
	for want, info := range map[string]debug.BuildInfo{
		"":                                   {Main: debug.Module{Version: "(devel)"}},
		"77d8de8bdba4":                       {Settings: []debug.BuildSetting{revision, {Key: "vcs.modified", Value: "false"}}},
		"77d8de8bdba4-dirty":                 {Settings: []debug.BuildSetting{revision, {Key: "vcs.modified", Value: "true"}}},
		"v0.0.0-20261128014300-77d8de8bdba4": {Main: debug.Module{Version: "v0.0.0-20261128014300-77d8de8bdba4", Sum: "h1:x"}},
	} {
		assert.Equal(t, want, builtFrom(&info))
	}
}
