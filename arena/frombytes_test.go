package arena_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/arena"
)

func TestFromBytes(t *testing.T) {
	b := make([]byte, 3*pageSizeOf()+100)
	for i := range b {
		b[i] = 0x11
	}
	r := arena.FromBytes(b)
	page := r.PageSize()
	require.Equal(t, len(b), r.Size())
	require.Equal(t, arena.GoHeap, r.Backing())
	require.Equal(t, byte(0x11), r.Bytes()[50], "contents stay until Commit")
	require.NoError(t, r.Commit(0, page))
	require.Zero(t, b[50])
	require.Equal(t, byte(0x11), b[page])
	require.NoError(t, r.Commit(0, len(b)), "the last page is a part of one")
	require.Equal(t, len(b), r.Stats().Committed)
	b[len(b)-1] = 1
	require.NoError(t, r.Decommit(arena.Offset(3*page), 100))
	require.Zero(t, b[len(b)-1])
	require.Equal(t, 3*page, r.Stats().Committed)
	require.NoError(t, r.Check())
	b[0] = 9
	require.NoError(t, r.Close())
	require.Equal(t, byte(9), b[0], "Close leaves the bytes alone")

	empty := arena.FromBytes(nil)
	require.Zero(t, empty.Size())
	require.NoError(t, empty.Commit(0, 0))
	require.ErrorIs(t, empty.Commit(0, 1), arena.ErrRange)
}

// TestFromBytesModel commits and decommits ranges of any bytes in a region that
// ends inside a page, beside a model that knows only what the comments promise.
func TestFromBytesModel(t *testing.T) {
	page := pageSizeOf()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 4).Draw(t, "pages")*page + rapid.SampledFrom([]int{1, 7, page / 2, page - 1, page}).Draw(t, "rest")
		mem := bytes.Repeat([]byte{0x5A}, size)
		r := arena.FromBytes(mem)
		want := bytes.Clone(mem)
		committed := make([]bool, (size+page-1)/page)
		pageEnd := func(p int) int { return min((p+1)*page, size) }
		near := rapid.Custom(func(t *rapid.T) int {
			border := rapid.IntRange(0, 5).Draw(t, "border") * page
			return max(0, min(size, border+rapid.IntRange(-2, 2).Draw(t, "near")))
		})
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			a, b := near.Draw(t, "a"), near.Draw(t, "b")
			a, b = min(a, b), max(a, b)
			commit := rapid.Bool().Draw(t, "commit")
			for p := range committed {
				lo, hi := p*page, pageEnd(p)
				from, to := max(lo, a), min(hi, b)
				switch {
				case from >= to:
				case commit && !committed[p]:
					committed[p] = true
					clear(want[lo:hi])
				case !commit && committed[p]:
					clear(want[from:to])
					committed[p] = from > lo || to < hi
				}
			}
			call := r.Decommit
			if commit {
				call = r.Commit
			}
			require.NoError(t, call(arena.Offset(a), b-a))
			require.NoError(t, r.Check())
			have := 0
			for _, in := range committed {
				if in {
					have += page // counted whole, the last one too
				}
			}
			require.Equal(t, min(have, size), r.Stats().Committed)
			require.True(t, bytes.Equal(want, mem), "contents after commit=%v [%d, %d)", commit, a, b)
			if v := byte(rapid.IntRange(1, 255).Draw(t, "v")); a < b && committed[a/page] {
				mem[a], want[a] = v, v
			}
		}
	})
}

// TestRegionsSideBySide makes two regions of one buffer: each owns what starts
// in it, and the border belongs to both only when nothing is there.
func TestRegionsSideBySide(t *testing.T) {
	buf := make([]byte, 1000)
	left, right := arena.FromBytes(buf[:600]), arena.FromBytes(buf[600:])
	require.Equal(t, 600, cap(left.Bytes()), "append must not reach the neighbour")
	tests := []struct {
		name        string
		b           []byte
		left, right int // offsets, -1 where it is not owned
	}{
		{"start", buf[:1], 0, -1},
		{"across the border", buf[599:700], 599, -1},
		{"first of the right", buf[600:601], -1, 0},
		{"empty at the border", buf[600:600], 600, 0},
		{"empty at the border, with capacity", buf[600:600:1000], 600, 0},
		{"last byte", buf[999:], -1, 399},
		{"nil", nil, -1, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for r, want := range map[*arena.Region]int{left: tt.left, right: tt.right} {
				off, ok := r.OffsetOf(tt.b)
				require.Equal(t, want >= 0, ok)
				require.Equal(t, ok, r.Owns(tt.b))
				if ok {
					require.Equal(t, arena.Offset(want), off)
				}
			}
		})
	}
	require.False(t, arena.FromBytes(nil).Owns(buf[:0]), "a region of nothing")
}
