package arena_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
	"github.com/memlab-go/memlab/internal/invariants"
)

// TestMoveCopiesNothing holds that on Linux pages change their address.
func TestMoveCopiesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs mremap")
	}
	p := arenatest.New()
	r := reserve(t, 1<<24, &arena.Options{Pager: p})
	page := r.PageSize()
	size := 64 * page
	require.NoError(t, r.Commit(0, size))
	mem := r.Bytes()
	for i := range size {
		mem[i] = byte(i / page)
	}
	require.NoError(t, r.Move(arena.Offset(2*size), 0, size))
	require.Equal(t, 1, p.Count(arenatest.Move))
	require.Equal(t, uint64(size), r.Stats().Moved)
	require.Zero(t, r.Stats().Copied)
	require.Equal(t, size, r.Stats().Committed)
	for i := range size {
		if mem[2*size+i] != byte(i/page) {
			t.Fatalf("byte %d is %#x", i, mem[2*size+i])
		}
	}
	n, err := r.Resident()
	require.NoError(t, err)
	require.Equal(t, size, n, "the source is gone from memory")
	require.NoError(t, r.Commit(0, size))
	require.Equal(t, make([]byte, size), mem[:size], "the source reads as zero")
}

// TestMoveAcrossCuts grows a block in place after a move and moves it again,
// so that the system has two mappings to move.
func TestMoveAcrossCuts(t *testing.T) {
	r := reserve(t, 400*pageSizeOf(), nil)
	page := r.PageSize()
	require.NoError(t, r.Commit(0, 8*page))
	r.Bytes()[0] = 1
	require.NoError(t, r.Move(arena.Offset(100*page), 0, 8*page))
	require.NoError(t, r.Commit(arena.Offset(108*page), 8*page))
	r.Bytes()[115*page] = 2
	require.NoError(t, r.Move(arena.Offset(300*page), arena.Offset(100*page), 16*page))
	require.Equal(t, byte(1), r.Bytes()[300*page])
	require.Equal(t, byte(2), r.Bytes()[315*page])
	require.Equal(t, 16*page, r.Stats().Committed)
	if runtime.GOOS == "linux" {
		require.Zero(t, r.Stats().Copied)
	}
}

// TestMoveKeepsToItsBudget moves single pages to and fro until the mappings
// are spent; from then on bytes are copied, and the process keeps its own.
func TestMoveKeepsToItsBudget(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs mremap")
	}
	if invariants.Enabled {
		t.Skip("the tag spends mappings on pages that fault")
	}
	const pages = 40000
	r := reserve(t, pages*pageSizeOf(), nil)
	page := r.PageSize()
	for p := 0; p+3 < pages; p += 4 {
		off := arena.Offset(p * page)
		require.NoError(t, r.Commit(off, page))
		r.Bytes()[p*page] = byte(p / 4)
		require.NoError(t, r.Move(off+arena.Offset(2*page), off, page))
	}
	s := r.Stats()
	require.Positive(t, s.Moved)
	require.Positive(t, s.Copied)
	require.LessOrEqual(t, s.Mappings, 8192+4)
	for p := 0; p+3 < pages; p += 4 {
		if got := r.Bytes()[(p+2)*page]; got != byte(p/4) {
			t.Fatalf("page %d holds %#x", p+2, got)
		}
	}
}

// TestMoveFallsBackToCopying makes the system call fail.
func TestMoveFallsBackToCopying(t *testing.T) {
	p := arenatest.New()
	r := reserve(t, 1<<20, &arena.Options{Pager: p})
	page := r.PageSize()
	require.NoError(t, r.Commit(0, 4*page))
	r.Bytes()[3*page] = 5
	p.FailAt(1, nil, arenatest.Move)
	require.NoError(t, r.Move(arena.Offset(8*page), 0, 4*page))
	require.Equal(t, byte(5), r.Bytes()[11*page])
	require.Equal(t, uint64(4*page), r.Stats().Copied)
	require.Equal(t, 4*page, r.Stats().Committed)
}

func BenchmarkMove(b *testing.B) {
	for _, size := range []int{64 << 10, 1 << 20, 16 << 20} {
		for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
			b.Run(fmt.Sprintf("alloc=%v/size=%d", backing, size), func(b *testing.B) {
				r := reserve(b, 2*size, &arena.Options{Backing: backing})
				require.NoError(b, r.Commit(0, size))
				for i := 0; i < size; i += 4096 {
					r.Bytes()[i] = 1
				}
				b.SetBytes(int64(size))
				from, to := arena.Offset(0), arena.Offset(size)
				for b.Loop() {
					if err := r.Move(to, from, size); err != nil {
						b.Fatal(err)
					}
					from, to = to, from
				}
			})
		}
	}
}
