package vfs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFault(t *testing.T) {
	t.Run("C26_second_process", testSecondProcess)
	t.Run("C27_second_open_same_process", testSecondOpen)
	t.Run("C28_stale_lock_file", testStaleLock)
	t.Run("C29_read_only_and_not_a_directory", testReadOnly)
	t.Run("C30_names_that_escape", testNames)
	t.Run("C02_synced_is_kept", testSyncedIsKept)
	t.Run("C03_unsynced_is_lost_at_random", testUnsynced)
	t.Run("C21_fsync_fails_then_succeeds", testFailedSync)
	t.Run("C22_directory_not_synced", testDirNotSynced)
}

func lockable(t *testing.T) {
	t.Helper()
	switch runtime.GOOS {
	case "js", "wasip1", "plan9":
		t.Skip("no file locks on this system")
	}
}

func testSecondProcess(t *testing.T) {
	lockable(t)
	dir := t.TempDir()
	d := openDir(t, OS(), dir)
	l, err := d.Lock("LOCK")
	require.NoError(t, err)
	out, code := runLockChild(t, dir)
	require.Equal(t, 1, code)
	require.Equal(t, strconv.Itoa(os.Getpid()), out)
	require.NoError(t, l.Close())
	_, code = runLockChild(t, dir)
	require.Zero(t, code)
}

func testSecondOpen(t *testing.T) {
	lockable(t)
	both(t, func(t *testing.T, fsys FS, path string) {
		d, e := openDir(t, fsys, path), openDir(t, fsys, path)
		l, err := d.Lock("LOCK")
		require.NoError(t, err)
		_, err = e.Lock("LOCK")
		require.ErrorIs(t, err, ErrLocked)
		require.NoError(t, l.Close())
		l, err = e.Lock("LOCK")
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
}

func testStaleLock(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, path string) {
		d := openDir(t, fsys, path)
		put(t, d, "LOCK", "99999999\n")
		l, err := d.Lock("LOCK")
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
}

func testReadOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := OS().OpenDir(file, false)
	require.Error(t, err)
	_, err = OS().OpenDir(filepath.Join(file, "below"), true)
	require.Error(t, err)
	m := NewMem()
	d := openDir(t, m, "db")
	put(t, d, "f", "")
	_, err = m.OpenDir("db/f", true)
	require.ErrorIs(t, err, syscall.ENOTDIR)

	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		return // the superuser may write anywhere
	}
	ro := t.TempDir()
	require.NoError(t, os.Chmod(ro, 0o555))
	d = openDir(t, OS(), ro)
	_, err = d.Create("x")
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = d.List()
	require.NoError(t, err)
}

func testNames(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, path string) {
		d := openDir(t, fsys, path)
		for _, name := range []string{"../x", "/etc/passwd", "a/../../x", "", ".", "..", "a\x00b", `..\x`, "a//b"} {
			_, err := d.Create(name)
			require.ErrorIs(t, err, fs.ErrInvalid, "create %q", name)
			_, err = d.Open(name)
			require.ErrorIs(t, err, fs.ErrInvalid, "open %q", name)
			require.ErrorIs(t, d.Rename("x", name), fs.ErrInvalid)
			require.ErrorIs(t, d.Remove(name), fs.ErrInvalid)
			require.ErrorIs(t, d.Mkdir(name), fs.ErrInvalid)
		}
	})
	if runtime.GOOS == "windows" {
		return
	}
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o644))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	_, err := openDir(t, OS(), dir).Open("link")
	require.Error(t, err, "a link that leads out of the directory")
}

func testSyncedIsKept(t *testing.T) {
	m := NewMem()
	d := openDir(t, m, "db")
	put(t, d, "a", "synced")
	require.NoError(t, d.Sync())
	put(t, d, "b", "entry not synced")
	f, err := d.Append("a")
	require.NoError(t, err)
	_, err = f.Write([]byte(" and more"))
	require.NoError(t, err)
	for seed := range uint64(20) {
		c := openDir(t, m.CrashClone(0, seed), "db")
		names, err := c.List()
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, names)
		require.Equal(t, "synced", get(t, c, "a"))
		c = openDir(t, m.CrashClone(1, seed), "db")
		require.Equal(t, "synced and more", get(t, c, "a"))
		require.Equal(t, "entry not synced", get(t, c, "b"))
	}
}

// testUnsynced checks that clones differ, that each is a mix of old, new and
// zero blocks, and that equal seeds give equal clones.
func testUnsynced(t *testing.T) {
	m := NewMem()
	d := openDir(t, m, "db")
	old := make([]byte, 10000)
	for i := range old {
		old[i] = 'o'
	}
	put(t, d, "a", string(old))
	require.NoError(t, d.Sync())
	f, err := d.Append("a")
	require.NoError(t, err)
	fresh := make([]byte, 50000)
	for i := range fresh {
		fresh[i] = 'n'
	}
	_, err = f.Write(fresh)
	require.NoError(t, err)
	seen := map[string]bool{}
	for seed := range uint64(30) {
		got := get(t, openDir(t, m.CrashClone(0.5, seed), "db"), "a")
		require.Equal(t, got, get(t, openDir(t, m.CrashClone(0.5, seed), "db"), "a"))
		require.Equal(t, string(old), got[:len(old)])
		for i := len(old); i < len(got); i++ {
			require.Contains(t, "n\x00", got[i:i+1])
		}
		seen[got] = true
	}
	require.Greater(t, len(seen), 20)
}

func testFailedSync(t *testing.T) {
	m := NewMem()
	in := NewInjector(m)
	d := openDir(t, in, "db")
	f, err := d.Create("log")
	require.NoError(t, err)
	require.NoError(t, d.Sync())
	_, err = f.Write([]byte("lost"))
	require.NoError(t, err)
	in.Decide(FailNthOp(OpSync, 1, syscall.EIO))
	require.ErrorIs(t, f.Sync(), syscall.EIO)
	require.NoError(t, f.Sync(), "the second one lies")
	require.Equal(t, "lost", get(t, d, "log"), "the page cache still has it")
	c := openDir(t, m.CrashClone(0, 1), "db")
	require.NotEqual(t, "lost", get(t, c, "log"))
}

// testDirNotSynced checks entries: a rename is kept or lost as a whole, and
// never without the creation before it.
func testDirNotSynced(t *testing.T) {
	m := NewMem()
	d := openDir(t, m, "db")
	put(t, d, "CURRENT", "old")
	require.NoError(t, d.Sync())
	put(t, d, "tmp", "new")
	require.NoError(t, d.Rename("tmp", "CURRENT"))
	states := map[string]int{}
	for seed := range uint64(200) {
		c := openDir(t, m.CrashClone(0.5, seed), "db")
		names, err := c.List()
		require.NoError(t, err)
		states[fmt.Sprint(names, get(t, c, "CURRENT"))]++
	}
	require.Len(t, states, 3, "%v", states) // nothing; the file alone; the rename too
	require.NotZero(t, states["[CURRENT]old"])
	require.NotZero(t, states["[CURRENT tmp]old"])
	require.NotZero(t, states["[CURRENT]new"])
}
