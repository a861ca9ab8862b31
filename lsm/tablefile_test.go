package lsm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// writeTableFile writes n pairs to path.
func writeTableFile(t *testing.T, path string, n int, o *TableOptions) {
	t.Helper()
	w, err := NewTableWriter(path, o)
	require.NoError(t, err)
	for i := range n {
		require.NoError(t, w.Put(fmt.Appendf(nil, "key%05d", 2*i), fmt.Appendf(nil, "value %d", i)))
	}
	info, err := w.Finish()
	require.NoError(t, err)
	require.Equal(t, n, info.Entries)
	require.NoError(t, w.Close())
	require.NoError(t, w.Close())
}

func TestTableFile(t *testing.T) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		for _, mmap := range []bool{false, true} {
			for _, comp := range []Compression{Snappy, None, Zstd} {
				o := &TableOptions{Backing: backing, Mmap: mmap, Compression: comp, MemoryLimit: 128 << 10}
				t.Run(fmt.Sprintf("%v/mmap=%v/%v", backing, mmap, comp), func(t *testing.T) { testTableFile(t, o) })
			}
		}
	}
}

func testTableFile(t *testing.T, o *TableOptions) {
	const n = 2000
	path := filepath.Join(t.TempDir(), "t.ldb")
	writeTableFile(t, path, n, o)
	tb, err := OpenTable(path, o)
	require.NoError(t, err)
	require.Equal(t, n, tb.Len())
	require.NoError(t, tb.Check())
	for i := range 2 * n {
		v, err := tb.Get(fmt.Appendf(nil, "key%05d", i))
		if i%2 == 1 {
			require.ErrorIs(t, err, ErrNotFound)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("value %d", i/2), string(v))
	}
	it, err := tb.NewIter(&IterOptions{LowerBound: []byte("key00100"), UpperBound: []byte("key00200")})
	require.NoError(t, err)
	require.ErrorIs(t, tb.Close(), ErrBusy)
	count := 0
	for k, v := range it.All() {
		require.Equal(t, fmt.Sprintf("key%05d", 100+2*count), string(k))
		require.Equal(t, fmt.Sprintf("value %d", 50+count), string(v))
		require.False(t, it.Deleted())
		require.Zero(t, it.Seq())
		count++
	}
	require.Equal(t, 50, count)
	for ok := it.Last(); ok; ok = it.Prev() {
		count--
	}
	require.Zero(t, count)
	require.False(t, it.Next())
	require.True(t, it.SeekGE([]byte("a")))
	require.Equal(t, "key00100", string(it.Key()))
	require.True(t, it.SeekLT([]byte("z")))
	require.Equal(t, "key00198", string(it.Key()))
	require.True(t, it.SeekGE([]byte("key00151")))
	require.Equal(t, "key00152", string(it.Key()))
	require.False(t, it.SeekGE([]byte("key00200")))
	require.NoError(t, it.Err())
	require.NoError(t, it.Close())
	require.NoError(t, it.Close())
	require.NoError(t, tb.Close())
	require.NoError(t, tb.Close())
	_, err = tb.Get(nil)
	require.ErrorIs(t, err, ErrClosed)
	_, err = tb.NewIter(nil)
	require.ErrorIs(t, err, ErrClosed)
}

// TestTableFileAppears checks that a table has its name only when it is whole.
func TestTableFileAppears(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.ldb")
	w, err := NewTableWriter(path, nil)
	require.NoError(t, err)
	require.NoError(t, w.Put([]byte("b"), nil))
	require.ErrorContains(t, w.Put([]byte("a"), nil), "is not after")
	_, err = w.Finish()
	require.Error(t, err)
	require.NoError(t, w.Close())
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Empty(t, left)

	_, err = OpenTable(path, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = NewTableWriter(filepath.Join(path, "no", "dir"), nil)
	require.Error(t, err)
	for _, size := range []int{-1, maxBlockSize + 1} {
		_, err = NewTableWriter(path, &TableOptions{BlockSize: size})
		require.ErrorIs(t, err, ErrOptions)
	}
}

// TestTableFileFaults fails every call of writing a table, in turn: there is a
// whole table or none.
func TestTableFileFaults(t *testing.T) {
	for n := int64(1); ; n++ {
		mem := vfs.NewMem()
		_, err := mem.OpenDir("d", true)
		require.NoError(t, err)
		in := vfs.NewInjector(mem)
		in.Decide(vfs.FailAt(n, io.ErrNoProgress))
		err = func() error {
			w, err := NewTableWriter("d/t.ldb", &TableOptions{FS: in})
			if err != nil {
				return err
			}
			defer func() { _ = w.Close() }() // the error that counts comes first
			if err := w.Put([]byte("a"), bytes.Repeat([]byte("x"), 1000)); err != nil {
				return err
			}
			_, err = w.Finish()
			return err
		}()
		tb, oerr := OpenTable("d/t.ldb", &TableOptions{FS: mem})
		if err == nil {
			require.NoError(t, oerr)
			require.NoError(t, tb.Close())
			require.Greater(t, n, int64(6))
			return
		}
		require.ErrorIs(t, err, io.ErrNoProgress)
		if oerr == nil {
			require.NoError(t, tb.Check(), "whole, although the last step failed")
			require.NoError(t, tb.Close())
		}
	}
}

func TestTableFileDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.ldb")
	writeTableFile(t, path, 2000, nil)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[100] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o644))
	tb, err := OpenTable(path, nil)
	require.NoError(t, err)
	require.ErrorIs(t, tb.Check(), ErrCorrupt)
	_, err = tb.Get([]byte("key00000"))
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = tb.Get([]byte("key03000"))
	require.NoError(t, err)
	require.NoError(t, tb.Close())

	_, err = OpenTable(path, &TableOptions{MemoryLimit: 1000})
	require.ErrorIs(t, err, ErrMemoryLimit)
	_, err = OpenTable(path, &TableOptions{Comparer: &Comparer{Name: "other", Compare: bytes.Compare}})
	require.ErrorIs(t, err, ErrOptions)
}

func TestTableAppendToAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the detector makes pools forget")
	}
	path := filepath.Join(t.TempDir(), "t.ldb")
	writeTableFile(t, path, 2000, nil)
	tb, err := OpenTable(path, nil)
	require.NoError(t, err)
	dst, key := make([]byte, 0, 100), []byte("key00500")
	require.Zero(t, testing.AllocsPerRun(200, func() {
		if _, err := tb.AppendTo(dst, key); err != nil {
			t.Fatal(err)
		}
	}))
	require.NoError(t, tb.Close())
}
