package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func TestWorkflowsRunTargetsOfTheMakefile(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	run := regexp.MustCompile(`(?m)run: make (.*)$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var parsed map[string]any
		require.NoError(t, yaml.Unmarshal(text, &parsed), file)
		commands := run.FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, commands, file)
		for _, command := range commands {
			for _, target := range strings.Fields(command[1]) {
				if !strings.Contains(target, "=") {
					assert.Regexp(t, `(?m)^`+target+`:`, string(makefile), "%s: make %s", file, target)
				}
			}
		}
	}
}

func TestIssueFormsAreForms(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, ".github/ISSUE_TEMPLATE/*.yml"))
	require.NoError(t, err)
	forms := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var form struct {
			Name, Description string
			Body              []struct {
				Type, ID   string
				Attributes struct{ Label string }
			}
		}
		require.NoError(t, yaml.Unmarshal(text, &form), file)
		if filepath.Base(file) == "config.yml" {
			continue
		}
		forms++
		assert.NotEmpty(t, form.Name, file)
		assert.NotEmpty(t, form.Description, file)
		ids := map[string]bool{}
		for _, field := range form.Body {
			assert.Contains(t, []string{"textarea", "input", "dropdown", "checkboxes", "markdown"}, field.Type, file)
			assert.NotEmpty(t, field.Attributes.Label, file)
			assert.False(t, ids[field.ID], "%s: %s is there twice", file, field.ID)
			ids[field.ID] = true
		}
	}
	assert.Equal(t, 3, forms)
}
