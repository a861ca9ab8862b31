package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// TestLargeGoesBackAtOnce: a block of 64 pages and more goes back when it is
// freed, from the top and from between others, and what is there next is zero.
func TestLargeGoesBackAtOnce(t *testing.T) {
	for _, last := range []bool{false, true} {
		h := freshIn(t, 64<<20, &arena.Options{}, nil)
		page := h.region.PageSize()
		must(t, h, 100)
		b := must(t, h, 128*page)
		fill(b, 0xCC)
		if !last {
			must(t, h, 100)
		}
		before := h.Stats()
		h.Free(b)
		after := h.Stats()
		require.LessOrEqual(t, after.Committed, before.Committed-126*page, "last: %v", last)
		require.Equal(t, after.Committed, h.region.Stats().Committed)
		require.Less(t, after.Retained, 64*page)
		require.NoError(t, h.Check())
		c, err := h.Calloc(1, 128*page)
		require.NoError(t, err)
		require.NoError(t, filled(c, 0))
		require.NoError(t, h.Check())
	}
}

// TestHugeNeedsNoCredit: a block of 8192 pages goes back even when a program
// has taken and freed it many times.
func TestHugeNeedsNoCredit(t *testing.T) {
	h := freshIn(t, 256<<20, &arena.Options{}, nil)
	size := 9000 * h.region.PageSize()
	for round := range 20 {
		b := must(t, h, size)
		b[0], b[size-1] = 1, 1
		full := h.Stats().Committed
		h.Free(b)
		require.Less(t, h.Stats().Committed, full-8000*h.region.PageSize(), "round %d", round)
	}
}

// TestPagesAreKept: what is taken and freed over and over stays: not every Free
// is a system call.
func TestPagesAreKept(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, nil)
	const rounds = 2000
	for range rounds {
		b := must(t, h, 100<<10)
		b[0] = 1
		h.Free(b)
	}
	s := h.region.Stats()
	require.Less(t, s.Commits+s.Decommits, uint64(rounds/4))
}

// TestTrimKeepsBlocks: Trim takes no byte of a live block, returns by how much
// the committed memory shrank, and leaves a heap that works.
func TestTrimKeepsBlocks(t *testing.T) {
	for _, ro := range []*arena.Options{{}, {Backing: arena.GoHeap}, {Guard: true}} {
		h := freshIn(t, 16<<20, ro, nil)
		var live [][]byte
		for i := range 400 {
			b := must(t, h, 1+i*i%30000)
			fill(b, byte(i))
			live = append(live, b)
		}
		for i := 0; i < len(live); i += 3 {
			h.Free(live[i])
			live[i] = nil
		}
		before := h.Stats()
		freed := h.Trim()
		after := h.Stats()
		require.Equal(t, before.Committed-after.Committed, freed)
		require.Positive(t, freed)
		require.Less(t, after.Retained, before.Retained)
		require.Equal(t, before.Live, after.Live)
		require.Equal(t, before.LiveBlocks, after.LiveBlocks)
		require.NoError(t, h.Check())
		for i, b := range live {
			if b != nil {
				require.NoError(t, filled(b, byte(i)), "block %d", i)
			}
		}
		for i := 0; i < len(live); i += 3 {
			b := must(t, h, 1+i*i%30000)
			fill(b, byte(i))
			live[i] = b
		}
		for i, b := range live {
			require.NoError(t, filled(b, byte(i)), "block %d", i)
			h.Free(b)
		}
		h.Trim()
		require.Zero(t, h.Stats().Retained)
	}
}

// TestTrimWholePages: the pages that hold no block are gone after Trim: what is
// retained is less than a page on each side of each free block.
func TestTrimWholePages(t *testing.T) {
	h := freshIn(t, 32<<20, &arena.Options{}, &Options{Classes: []int{}})
	page := h.region.PageSize()
	var drop [][]byte
	for range 50 {
		drop = append(drop, must(t, h, 10*page))
		must(t, h, 48)
	}
	for _, b := range drop {
		h.Free(b)
	}
	h.Trim()
	s := h.Stats()
	require.Equal(t, 50, s.FreeBlocks)
	require.LessOrEqual(t, s.Retained, (s.FreeBlocks+1)*2*page)
	require.GreaterOrEqual(t, s.Retained, 0)
}

// TestGapsJoin: free spans whose pages are gone, joined in every order, give
// one span that can be used whole.
func TestGapsJoin(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		h := freshIn(t, 32<<20, &arena.Options{}, &Options{Classes: []int{}})
		page := h.region.PageSize()
		must(t, h, 16)
		bs := [][]byte{must(t, h, 20*page+16), must(t, h, 5*page+32), must(t, h, 30*page+48)}
		must(t, h, 16)
		for _, b := range bs {
			fill(b, 0xEE)
		}
		for _, i := range order {
			h.Free(bs[i])
			h.Trim()
			require.NoError(t, h.Check(), "%v: after %d", order, i)
			require.Equal(t, int(h.committed), h.Stats().Committed, "%v: after %d", order, i)
		}
		b, err := h.Calloc(1, 55*page)
		require.NoError(t, err)
		require.Equal(t, addrOf(bs[0]), addrOf(b)-addrOf(b)%uintptr(page)+addrOf(bs[0])%uintptr(page))
		require.NoError(t, filled(b, 0), "%v", order)
		fill(b, 1)
		require.NoError(t, h.Check())
	}
}

// TestResident: the system agrees that pages are gone.
func TestResident(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, nil)
	if h.Stats().Resident < 0 {
		t.Skip("the system does not say what is resident")
	}
	b := must(t, h, 8<<20)
	fill(b, 1)
	full := h.Stats().Resident
	require.GreaterOrEqual(t, full, 8<<20)
	h.Free(b)
	h.Trim()
	require.Less(t, h.Stats().Resident, full-7<<20)
}

// TestGrowStep: the data grows by a few pages, and by more of them the larger it is.
func TestGrowStep(t *testing.T) {
	h := fresh(t, 64<<20, nil)
	for pages, want := range map[uint64]uint64{
		0: commitPages, 2*aheadShare - 1: commitPages, 2 * aheadShare: 2, 4*aheadShare - 1: 2,
		4 * aheadShare: 4, 8*aheadShare - 1: 4, 8 * aheadShare: aheadPages, 1 << 20: aheadPages,
	} {
		h.top = h.first + pages*h.pageGranules
		step, ahead := h.growStep()
		require.Equal(t, want*h.pageGranules, step, "%d pages", pages)
		require.Equal(t, pages >= aheadLeast*aheadShare, ahead, "%d pages", pages)
	}
	h.top = h.hdr.top
}

// TestGrowsAhead: in a heap of some size, pages that small blocks are about to use are
// brought into memory together; those of a large block are not, and Trim takes back what
// was not used.
func TestGrowsAhead(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, &Options{Classes: []int{}})
	page := h.region.PageSize()
	for h.top-h.first < 4*aheadPages*aheadShare*h.pageGranules {
		must(t, h, 1000)
	}
	resident := func() int { return h.Stats().Resident }
	if most := int(h.top-h.first) << granuleShift; resident() < most/2 {
		t.Skip("the system does not say what is resident, or supplies no page ahead")
	}
	before := resident()
	for range 40 * page / 1000 { // no byte of them is touched
		must(t, h, 1000)
	}
	require.GreaterOrEqual(t, resident(), before+(40-aheadPages)*page)
	require.LessOrEqual(t, resident(), before+(42+aheadPages)*page)
	before = resident()
	must(t, h, 50*page)
	require.LessOrEqual(t, resident(), before+3*page)
	require.NoError(t, h.Check())
	h.Trim()
	require.Less(t, h.hdr.commit-h.top, h.pageGranules)
	require.NoError(t, h.Check())
	must(t, h, 1000)
	require.NoError(t, h.Check())
}
