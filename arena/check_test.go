package arena

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Each test breaks one law and expects Check to say so.

func TestRegionCheckFindsBrokenLaws(t *testing.T) {
	tests := []struct {
		name, want string
		damage     func(r *Region)
	}{
		{"count of the set", "L1", func(r *Region) { r.committed.count++ }},
		{"count of a node", "L1", func(r *Region) { r.committed.top[0].count-- }},
		{"a bit", "L1", func(r *Region) { r.committed.top[0].leaf(0)[0] ^= 1 }},
		{"bytes counted", "L1", func(r *Region) { r.stats.Committed += 4096 }},
		{"more than reserved", "L2", func(r *Region) { r.stats.Peak = r.size + 1 }},
		{"more than the limit", "L3", func(r *Region) { r.limit = 1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Reserve(1<<20, &Options{Backing: GoHeap})
			require.NoError(t, err)
			require.NoError(t, r.Commit(0, 1<<16))
			require.NoError(t, r.Check())
			tt.damage(r)
			require.ErrorContains(t, r.Check(), "arena: "+tt.want)
		})
	}
}

func TestArenaCheckFindsBrokenLaws(t *testing.T) {
	tests := []struct {
		name, want string
		damage     func(a *Arena)
	}{
		{"used past committed", "L1", func(a *Arena) { a.chunks[0].pos = a.chunks[0].committed + 1 }},
		{"used below zero", "L1", func(a *Arena) { a.chunks[0].pos = -1 }},
		{"dirty past committed", "L1", func(a *Arena) { a.chunks[0].dirty = a.chunks[0].committed + 1 }},
		{"region disagrees", "L1", func(a *Arena) { _ = a.chunks[0].r.Decommit(0, a.chunks[0].committed) }},
		{"used after the current chunk", "L2", func(a *Arena) { a.cur = 0 }},
		{"mark out of order", "L3", func(a *Arena) { a.marks[0], a.marks[1] = a.marks[1], a.marks[0] }},
		{"mark past the position", "L3", func(a *Arena) { a.marks[2].chunk, a.marks[2].pos = a.cur, 1<<30 }},
		{"sum of the chunks", "L4", func(a *Arena) { a.committed++ }},
		{"limit", "L4", func(a *Arena) { a.opts.Limit = 100 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := NewArena(&Options{Backing: GoHeap})
			for range 3 {
				a.Mark()
				_, err := a.Alloc(firstHeapChunk-100, 8)
				require.NoError(t, err)
			}
			require.NoError(t, a.Check())
			tt.damage(a)
			require.ErrorContains(t, a.Check(), "arena: "+tt.want)
		})
	}
}

func TestConcurrentCheckFindsBrokenLaws(t *testing.T) {
	c, err := NewConcurrent(1<<20, &Options{Backing: GoHeap})
	require.NoError(t, err)
	require.NoError(t, c.Check())
	_, _, err = c.Alloc(100, 8)
	require.NoError(t, err)
	require.NoError(t, c.Check())
	c.used.Store(c.committed.Load() + 1)
	require.ErrorContains(t, c.Check(), "L1")
	c.used.Store(0)
	c.committed.Store(1<<20 + 1)
	require.ErrorContains(t, c.Check(), "L1")
}

func TestAlignOffset(t *testing.T) {
	tests := []struct {
		base  uintptr
		off   int64
		align int
		want  int64
	}{
		{0, 0, 1, 0}, {0, 1, 1, 1}, {0, 1, 8, 8}, {0, 8, 8, 8}, {0, 9, 8, 16},
		{3, 0, 8, 5}, {3, 5, 8, 5}, {3, 6, 8, 13}, {0x1000, 1, 4096, 4096}, {0x1001, 0, 4096, 4095},
		{1 << 20, 1, 1 << 30, 1<<30 - 1<<20},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, alignOffset(tt.base, tt.off, tt.align), "%+v", tt)
	}
	for align, want := range map[int]bool{0: false, 1: true, 2: true, 3: false, -8: false, 1 << 30: true, 1<<30 + 1: false} {
		require.Equal(t, want, validAlign(align), "align %d", align)
	}
}

// TestErrorText holds what the errors say.
func TestErrorText(t *testing.T) {
	tests := []struct {
		err  *Error
		want string
	}{
		{&Error{Op: "commit", Off: 0x1000, Size: 8192, Have: 4096, Limit: 8192, Err: ErrLimit},
			"arena: commit 8192 bytes at 0x1000: out of room: byte limit reached (have 4096, limit 8192)"},
		{&Error{Op: "alloc", Size: -1, Err: ErrSize}, "arena: alloc -1 bytes: bad size"},
		{&Error{Op: "sync", Err: ErrClosed}, "arena: sync: closed"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, tt.err.Error())
		require.ErrorIs(t, tt.err, tt.err.Err)
	}
	for b, want := range map[Backing]string{Mmap: "mmap", GoHeap: "goheap", File: "file", Sparse: "sparse", 9: "unknown"} {
		require.Equal(t, want, b.String())
	}
}
