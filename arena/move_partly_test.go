package arena_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
	"github.com/memlab-go/memlab/internal/invariants"
)

// TestMoveEveryOverlap moves a block of four pages by every distance, on every
// backing: contents, the committed pages and the zeros left behind.
func TestMoveEveryOverlap(t *testing.T) {
	const pages, n, src = 14, 4, 5
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			r := reserve(t, pages*pageSizeOf(), o)
			page := r.PageSize()
			for dst := 0; dst+n <= pages; dst++ {
				require.NoError(t, r.Decommit(0, r.Size()))
				require.NoError(t, r.Commit(arena.Offset(src*page), n*page))
				for p := range n {
					fillWith(r.Bytes()[(src+p)*page:][:page], byte(p+1))
				}
				require.NoError(t, r.Move(arena.Offset(dst*page), arena.Offset(src*page), n*page))
				want := make([]bool, pages)
				for p := range n {
					want[dst+p] = true
				}
				require.Equal(t, want, committedPages(r), "to page %d", dst)
				require.NoError(t, r.Commit(0, r.Size()))
				for p := range pages {
					v := byte(0)
					if want[p] {
						v = byte(p - dst + 1)
					}
					require.True(t, isFilledWith(r.Bytes()[p*page:][:page], v), "to page %d: page %d", dst, p)
				}
			}
		})
	}
}

// TestMoveCopiesTheRest moves a block that lies in several mappings and makes
// the k-th call fail: what comes before has moved, the rest is copied.
func TestMoveCopiesTheRest(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs mremap")
	}
	const pieces, each = 3, 4
	for k := 1; k <= pieces; k++ {
		t.Run(fmt.Sprintf("call %d fails", k), func(t *testing.T) {
			p := arenatest.New()
			r := reserve(t, 100*pageSizeOf(), &arena.Options{Pager: p})
			page := r.PageSize()
			at := func(p int) arena.Offset { return arena.Offset(p * page) }
			for i := range pieces { // each comes from elsewhere, so the mappings do not join
				require.NoError(t, r.Commit(at(80-10*i), each*page))
				fillWith(r.Bytes()[(80-10*i)*page:][:each*page], byte(i+1))
				require.NoError(t, r.Move(at(i*each), at(80-10*i), each*page))
			}
			before := r.Stats()
			require.Zero(t, before.Copied)
			p.FailAt(k, syscall.EFAULT, arenatest.Move)
			require.NoError(t, r.Move(at(30), 0, pieces*each*page))
			require.True(t, p.Injected())
			s := r.Stats()
			require.Equal(t, uint64((k-1)*each*page), s.Moved-before.Moved)
			require.Equal(t, uint64((pieces-k+1)*each*page), s.Copied)
			require.Equal(t, pieces*each*page, s.Committed)
			require.NoError(t, r.Commit(0, pieces*each*page))
			require.True(t, isFilledWith(r.Bytes()[:pieces*each*page], 0), "the source reads as zero")
			for i := range pieces {
				require.True(t, isFilledWith(r.Bytes()[(30+i*each)*page:][:each*page], byte(i+1)), "piece %d", i)
			}
		})
	}
}

// TestMoveWhoseSourceStays copies and then cannot give the source back: it stays
// committed, as counted, and is zero, so that no second copy is to be seen.
func TestMoveWhoseSourceStays(t *testing.T) {
	if invariants.Enabled {
		t.Skip("the tag makes other calls")
	}
	needMappings(t)
	p := arenatest.New()
	r := reserve(t, 1<<20, &arena.Options{Pager: p})
	page := r.PageSize()
	require.NoError(t, r.Commit(0, 4*page))
	fillWith(r.Bytes()[:4*page], 3)
	p.FailAt(1, syscall.ENOMEM, arenatest.Advise)
	require.NoError(t, r.Move(arena.Offset(page), 0, 4*page), "overlapping: copied")
	require.True(t, p.Injected())
	require.Equal(t, 5*page, r.Stats().Committed)
	require.Equal(t, 5*page, r.Stats().Peak)
	require.True(t, isFilledWith(r.Bytes()[:page], 0))
	require.True(t, isFilledWith(r.Bytes()[page:5*page], 3))
	require.NoError(t, r.Check())
}

// TestPagerRefusesNonsense holds the arguments that the system's own pager
// turns down before the kernel could do harm with them.
func TestPagerRefusesNonsense(t *testing.T) {
	needMappings(t)
	p, page := arena.SystemPager(), pageSizeOf()
	for _, size := range []int{0, -1, -page} {
		_, err := p.Map(arena.MapRequest{Size: size})
		require.Error(t, err, "a mapping of %d bytes", size)
	}
	mem, err := p.Map(arena.MapRequest{Size: 4 * page, Prot: arena.ProtReadWrite})
	require.NoError(t, err)
	fillWith(mem, 1)
	if runtime.GOOS != "windows" {
		_, err = p.Map(arena.MapRequest{Size: 2 * page, Over: mem[:page]})
		require.Error(t, err, "over less than its size")
	}
	require.Error(t, p.Move(mem[:page], mem[page:3*page]), "to a place that is too small")
	require.True(t, isFilledWith(mem, 1), "nothing has changed")
	require.NoError(t, p.Unmap(mem))
}
