package arena

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAllocateByWriting gives blocks to a file in the way that needs nothing of
// the file system: what it holds stays, what is added is zero.
func TestAllocateByWriting(t *testing.T) {
	const old = 100_000 // more than one step, and no multiple of one
	tests := []struct {
		name      string
		off, size int64
		length    int64
	}{
		{"inside", 10, 20, old},
		{"several steps inside", 1, 1<<16 + 5, old},
		{"across the end", old - 3, 1<<17 + 7, old - 3 + 1<<17 + 7},
		{"from the end on", old, 5000, old + 5000},
		{"past the end", old + 1000, 10, old + 1010},
		{"nothing", old + 1000, 0, old},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "f"))
			require.NoError(t, err)
			defer f.Close()
			want := bytes.Repeat([]byte("memory!"), old/7+1)[:old]
			_, err = f.Write(want)
			require.NoError(t, err)
			require.NoError(t, allocateByWriting(f, tt.off, tt.size))
			got, err := os.ReadFile(f.Name())
			require.NoError(t, err)
			require.Len(t, got, int(tt.length))
			require.True(t, bytes.Equal(want, got[:old]), "what it held has changed")
			require.Equal(t, len(got)-old, bytes.Count(got[old:], []byte{0}))
		})
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.ErrorIs(t, allocateByWriting(f, 0, 1), os.ErrClosed)
}

// TestFileThatDoesNotClose holds that a region whose mapping is gone is closed
// even if closing its file fails: a second try would unmap another's memory.
func TestFileThatDoesNotClose(t *testing.T) {
	if !haveFileMapping {
		t.Skip("no file mappings on this system")
	}
	o := &Options{Backing: File, Path: filepath.Join(t.TempDir(), "f")}
	c, err := NewConcurrent(1<<20, o)
	require.NoError(t, err)
	_, _, err = c.Alloc(100, 8)
	require.NoError(t, err)
	require.NoError(t, c.r.back.(*file).f.Close())
	require.ErrorIs(t, c.Close(), os.ErrClosed)
	require.True(t, c.Bytes() == nil && c.r.Bytes() == nil) // nothing may print them
	require.Zero(t, c.r.Stats().Committed)
	_, _, err = c.Alloc(1, 1)
	require.ErrorIs(t, err, ErrClosed)
}
