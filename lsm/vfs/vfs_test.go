package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// both runs f on the real file system and on the one in memory: whatever a
// store can see must be the same.
func both(t *testing.T, f func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { f(t, OS(), filepath.Join(t.TempDir(), "a", "b")) })
	t.Run("mem", func(t *testing.T) { f(t, NewMem(), "a/b") })
	t.Run("injector", func(t *testing.T) { f(t, NewInjector(NewMem()), "a/b") })
}

func openDir(t *testing.T, fsys FS, path string) Dir {
	t.Helper()
	d, err := fsys.OpenDir(path, true)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func put(t *testing.T, d Dir, name, content string) {
	t.Helper()
	f, err := d.Create(name)
	require.NoError(t, err)
	_, err = f.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func get(t *testing.T, d Dir, name string) string {
	t.Helper()
	f, err := d.Open(name)
	require.NoError(t, err)
	n, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, n)
	if n > 0 {
		_, err = f.ReadAt(b, 0)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	return string(b)
}

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, path string) {
		_, err := fsys.OpenDir(path, false)
		require.ErrorIs(t, err, fs.ErrNotExist)
		d := openDir(t, fsys, path)
		put(t, d, "x", "hello")
		require.Equal(t, "hello", get(t, d, "x"))

		f, err := d.Append("x")
		require.NoError(t, err)
		_, err = f.Write([]byte(" world"))
		require.NoError(t, err)
		require.NoError(t, f.Truncate(7))
		_, err = f.Write([]byte("!"))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Error(t, f.Close())
		require.Equal(t, "hello w!", get(t, d, "x"))

		put(t, d, "x", "short")
		require.Equal(t, "short", get(t, d, "x"))
		require.NoError(t, d.Link("x", d, "y"))
		require.ErrorIs(t, d.Link("x", d, "y"), fs.ErrExist)
		require.NoError(t, d.Rename("x", "z"))
		put(t, d, "w", "w")
		require.NoError(t, d.Rename("w", "y"))
		names, err := d.List()
		require.NoError(t, err)
		require.Equal(t, []string{"y", "z"}, names)
		require.Equal(t, "w", get(t, d, "y"))
		require.Equal(t, "short", get(t, d, "z"))

		require.NoError(t, d.Mkdir("lost"))
		require.NoError(t, d.Mkdir("lost"))
		require.NoError(t, d.Rename("z", "lost/z"))
		require.Equal(t, "short", get(t, d, "lost/z"))
		info, err := d.Stat("lost")
		require.NoError(t, err)
		require.True(t, info.Dir)
		require.Error(t, d.Remove("lost"), "not empty")
		require.NoError(t, d.Remove("lost/z"))
		require.NoError(t, d.Remove("lost"))
		require.ErrorIs(t, d.Remove("lost"), fs.ErrNotExist)
		require.NoError(t, d.Sync())
	})
}

func TestReadsAndErrors(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, path string) {
		d := openDir(t, fsys, path)
		_, err := d.Open("x")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = d.Append("x")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = d.Stat("x")
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorIs(t, d.Rename("x", "y"), fs.ErrNotExist)
		put(t, d, "x", "abc")
		f, err := d.Open("x")
		require.NoError(t, err)
		b := make([]byte, 4)
		n, err := f.ReadAt(b, 1)
		require.Equal(t, 2, n)
		require.Equal(t, io.EOF, err)
		_, err = f.ReadAt(b, 99)
		require.Equal(t, io.EOF, err)
		_, err = f.Write([]byte("x"))
		require.Error(t, err, "opened for reading")
		require.NoError(t, f.Close())
	})
}

func TestMap(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, path string) {
		d := openDir(t, fsys, path)
		put(t, d, "x", "abcdef")
		f, err := d.Open("x")
		require.NoError(t, err)
		m, ok := f.(Mapper)
		if !ok {
			t.Skip("no mapping on this system")
		}
		b, unmap, err := m.Map(6)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Equal(t, "abcdef", string(b))
		require.NoError(t, unmap())
	})
}

func TestInjectorFaults(t *testing.T) {
	mem := NewMem()
	in := NewInjector(mem)
	d := openDir(t, in, "db")
	f, err := d.Create("x")
	require.NoError(t, err)

	in.Decide(func(c Call) *Fault {
		if c.Op == OpWrite {
			return &Fault{Err: syscall.ENOSPC, Short: 2}
		}
		return nil
	})
	n, err := f.Write([]byte("abcd"))
	require.Equal(t, 2, n)
	require.ErrorIs(t, err, syscall.ENOSPC)
	in.Decide(FailNthOp(OpRead, 2, syscall.EIO))
	require.Equal(t, "ab", get(t, d, "x"))
	r, err := d.Open("x")
	require.NoError(t, err)
	_, err = r.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, syscall.EIO)
	require.NoError(t, r.Close())

	in.Decide(FailAt(in.Calls()+1, syscall.EIO))
	require.ErrorIs(t, f.Close(), syscall.EIO)
	require.Error(t, f.Close(), "it was closed all the same")

	in.Decide(FailFrom(in.Calls()+1, syscall.EIO))
	_, err = d.List()
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, d.Sync(), syscall.EIO)
	in.Decide(nil)
	require.NoError(t, d.Sync())
}

// TestInjectorCountsEverything fails each call of a history in turn: each N
// hits exactly one call, until the history runs clean.
func TestInjectorCountsEverything(t *testing.T) {
	boom := errors.New("boom")
	history := func(fsys FS) (failed int) {
		note := func(err error) {
			if errors.Is(err, boom) {
				failed++
			}
		}
		d, err := fsys.OpenDir("db", true)
		note(err)
		if err != nil {
			return failed
		}
		l, err := d.Lock("LOCK")
		note(err)
		if err == nil {
			note(l.Close())
		}
		for _, open := range []func(string) (File, error){d.Create, d.Append, d.Open} {
			f, err := open("x")
			note(err)
			if err != nil {
				continue
			}
			_, err = f.Write([]byte("x"))
			note(err)
			_, err = f.ReadAt(make([]byte, 1), 0)
			note(err)
			note(f.Sync())
			_, err = f.Size()
			note(err)
			note(f.Truncate(0))
			note(f.Close())
		}
		_, err = d.Stat("x")
		note(err)
		_, err = d.List()
		note(err)
		note(d.Link("x", d, "y"))
		note(d.Rename("x", "z"))
		note(d.Mkdir("m"))
		note(d.Remove("z"))
		note(d.Sync())
		return failed
	}
	for n := int64(1); ; n++ {
		in := NewInjector(NewMem())
		in.Decide(FailAt(n, boom))
		failed := history(in)
		if in.Calls() < n {
			require.Zero(t, failed)
			require.Greater(t, n, int64(25))
			return
		}
		require.Equal(t, 1, failed, "call %d", n)
	}
}

// TestMain lets a test start this binary as a second process that tries to
// take a lock.
func TestMain(m *testing.M) {
	if dir, ok := strings.CutPrefix(strings.Join(os.Args[1:], " "), "lock-child "); ok {
		os.Exit(lockChild(dir))
	}
	os.Exit(m.Run())
}

func lockChild(dir string) int {
	d, err := OS().OpenDir(dir, false)
	if err != nil {
		return 3
	}
	_, err = d.Lock("LOCK")
	if le, ok := errors.AsType[*LockError](err); ok {
		_, _ = os.Stdout.WriteString(strconv.Itoa(le.PID))
		return 1
	}
	return 0
}

func runLockChild(t *testing.T, dir string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "lock-child", dir)
	b, err := cmd.Output()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}
