//go:build unix

package cli

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// writeText writes s to name as a command would.
func writeText(t *testing.T, name, s string) {
	t.Helper()
	require.NoError(t, CheckFile(name))
	require.NoError(t, WriteFile(name, func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}))
}

func TestWriteFileKeepsPermissions(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	name := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct{ set, want fs.FileMode }{{0, 0o600}, {0o664, 0o664}, {0o640, 0o640}} {
		if c.set != 0 {
			require.NoError(t, os.Chmod(name, c.set))
		}
		writeText(t, name, "x")
		fi, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, c.want, fi.Mode())
	}
	syscall.Umask(0o022)
	require.NoError(t, os.Remove(name))
	writeText(t, name, "x")
	fi, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), fi.Mode())
}

// A link stays a link, also one through another directory and one whose file is
// not there yet; what it names gets the text.
func TestWriteFileFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	require.NoError(t, os.Symlink("a/b", filepath.Join(dir, "short")))
	require.NoError(t, os.Symlink("../file", filepath.Join(dir, "a", "b", "up")))
	require.NoError(t, os.Symlink("short/up", filepath.Join(dir, "link")))
	for _, text := range []string{"new", "again"} {
		writeText(t, filepath.Join(dir, "link"), text)
		got, err := os.ReadFile(filepath.Join(dir, "a", "file"))
		require.NoError(t, err)
		require.Equal(t, text, string(got))
		fi, err := os.Lstat(filepath.Join(dir, "link"))
		require.NoError(t, err)
		require.NotZero(t, fi.Mode()&fs.ModeSymlink)
	}
	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink("loop", loop))
	require.Error(t, CheckFile(loop))
}

func TestWriteFileIntoAPipe(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(name, 0o600))
	require.NoError(t, os.Symlink("pipe", filepath.Join(dir, "link")))
	for _, path := range []string{name, filepath.Join(dir, "link")} {
		got := make(chan string)
		go func() {
			b, _ := os.ReadFile(name)
			got <- string(b)
		}()
		writeText(t, path, "through")
		require.Equal(t, "through", <-got)
		fi, err := os.Lstat(name)
		require.NoError(t, err)
		require.Equal(t, fs.ModeNamedPipe, fi.Mode().Type())
	}
}
