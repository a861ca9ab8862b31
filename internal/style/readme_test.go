package style

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadme holds that the program of the README prints what stands below it,
// and that the links to the tree lead somewhere.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(withoutBlocks(string(text)), -1) {
		_, err := os.Stat(filepath.Join("../..", m[1]))
		require.NoError(t, err, "the link to %s", m[1])
	}
	if _, err := exec.LookPath("go"); err != nil || testing.Short() {
		t.Skip("needs the go command")
	}
	program := block(t, string(text), "go")
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, []byte(program), 0o644))
	cmd := exec.Command("go", "run", file)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, block(t, string(text), "output"), string(out))
}

// block returns the first fenced block of a language.
func block(t *testing.T, text, lang string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "```"+lang+"\n")
	require.True(t, ok, "no block of %s", lang)
	body, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	return body
}

// withoutBlocks returns text without its fenced blocks.
func withoutBlocks(text string) string {
	parts := strings.Split(text, "```")
	var sb strings.Builder
	for i := 0; i < len(parts); i += 2 {
		sb.WriteString(parts[i])
	}
	return sb.String()
}
