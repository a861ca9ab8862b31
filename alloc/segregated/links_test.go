package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// linked is a heap with three free spans of one size in one bin, each between blocks.
type linked struct {
	h             *Heap
	free          []uint64 // their starts, in the order of the bin
	before, after [][]byte // the blocks beside each
}

// newLinked returns one whose free spans have size bytes.
func newLinked(t *testing.T, size int) *linked {
	t.Helper()
	l := &linked{h: fresh(t, 256<<10, &Options{Classes: []int{}})}
	var middle [][]byte
	for range 3 {
		must(t, l.h, 64)
		l.before = append([][]byte{must(t, l.h, 320)}, l.before...)
		middle = append(middle, must(t, l.h, size))
		l.after = append([][]byte{must(t, l.h, 320)}, l.after...)
	}
	must(t, l.h, 64)
	for _, b := range middle {
		l.free = append([]uint64{uint64(addrOf(b)-addrOf(l.h.mem)) >> granuleShift}, l.free...)
		l.h.Free(b)
		l.h.flushQuick()
	}
	return l
}

// links returns the links of the free span i.
func (l *linked) links(i int) *links { return l.h.links(l.free[i], binOf(l.h.spanSize(l.free[i]))) }

// release frees b for good and returns the damage that this met.
func (l *linked) release(b []byte) error {
	l.h.Free(b)
	l.h.flushQuick()
	if l.h.err != nil {
		return l.h.err
	}
	return nil
}

// TestDamagedLinks: whatever is done with a free span, and wherever one of its links was
// made to lead, that is found before the link is followed to anything but a free span.
func TestDamagedLinks(t *testing.T) {
	first := func(int) int { return 0 }
	closest := func(size int) int { // in a bin of more sizes the one with the lowest address
		if size/granule < exactBins {
			return 0
		}
		return 2
	}
	acts := []struct {
		name string
		only func(size int) int // the span that it concerns, nil: any
		do   func(l *linked, i, size int) error
	}{
		{"take it", first, func(l *linked, i, size int) error { _, err := l.h.Malloc(size); return err }},
		{"cut it", closest, func(l *linked, i, size int) error { _, err := l.h.Malloc(size * 3 / 5); return err }},
		{"free what follows", nil, func(l *linked, i, size int) error { return l.release(l.after[i]) }},
		{"free what precedes", nil, func(l *linked, i, size int) error { return l.release(l.before[i]) }},
		{"free both", nil, func(l *linked, i, size int) error {
			if err := l.release(l.before[i]); err != nil {
				return err
			}
			return l.release(l.after[i])
		}},
		{"grow into it", nil, func(l *linked, i, size int) error {
			_, err := l.h.Realloc(l.before[i], 400)
			return err
		}},
	}
	// Of 38, 160, 313 and 1270 granules: in a bin of one size, in the first ones of more,
	// and with links in the tables. One that grows by 20 moves to another bin.
	for _, size := range []int{600, 2560, 5000, 20320} {
		for _, act := range acts {
			for i := range 3 {
				if act.only != nil && i != act.only(size) {
					continue
				}
				l := newLinked(t, size)
				require.NoError(t, act.do(l, i, size), "%s, %d bytes", act.name, size)
				require.NoError(t, l.h.Check(), "%s, %d bytes", act.name, size)
				for _, link := range []string{"next", "prev"} {
					for _, to := range damagedTo(newLinked(t, size), i) {
						l := newLinked(t, size)
						at := &l.links(i).next
						if link == "prev" {
							at = &l.links(i).prev
						}
						if *at == to {
							continue
						}
						*at = to
						err := act.do(l, i, size)
						require.ErrorIs(t, err, alloc.ErrCorrupt, "%s of span %d, %d bytes, %s %#x", act.name, i, size, link, to)
						require.ErrorIs(t, l.h.Check(), alloc.ErrCorrupt)
					}
				}
			}
		}
	}
}

// damagedTo returns where links of the free span i could be made to lead.
func damagedTo(l *linked, i int) []uint64 {
	used := uint64(addrOf(l.before[0])-addrOf(l.h.mem)) >> granuleShift
	to := []uint64{1, l.h.first - 1, l.h.first, l.h.top, 1 << 40, ^uint64(0), used, l.free[i] + 1}
	return append(to, l.free...)
}

// TestSizesOfFreeSpan: wherever it lies in its unit, a free span grows and is cut from any
// size to any other, also where its record has other rows then, or lies in the span.
func TestSizesOfFreeSpan(t *testing.T) {
	sizes := []uint64{minSpan, 128, tagMin, 160, largeMin - 4, largeMin, largeMin + 60, largeMin + 64, infoMin - 4, infoMin, infoMin + 64, 700}
	pads := []uint64{0, 1, 31, 62, 63}
	mem := make([]byte, 128<<10+16)
	mem = mem[-addrOf(mem)&15:]
	for _, pad := range pads {
		for i, small := range sizes {
			for _, large := range sizes[i+1:] {
				h, err := New(arena.FromBytes(mem[:128<<10]), &Options{Classes: []int{}})
				require.NoError(t, err)
				must(t, h, int(64+pad)*granule)
				front := must(t, h, int(small)*granule)
				back := must(t, h, int(large-small)*granule)
				must(t, h, 64)
				h.Free(front)
				h.flushQuick()
				h.Free(back) // the free span grows
				h.flushQuick()
				require.NoError(t, h.Check(), "%d to %d granules, pad %d", small, large, pad)
				require.Equal(t, 1, h.freeSpans)
				got := must(t, h, int(large-small)*granule) // and is cut
				require.NoError(t, h.Check(), "%d to %d granules, pad %d", large, small, pad)
				require.Equal(t, addrOf(back), addrOf(got))
				require.Equal(t, small, h.freeSum)
			}
		}
	}
}

// TestCutPastGap: pages of a free span that were given back stay away while what is taken
// lies past them.
func TestCutPastGap(t *testing.T) {
	h := fresh(t, 8<<20, &Options{Classes: []int{}})
	large, behind := must(t, h, 1<<20), must(t, h, 20_000)
	must(t, h, 64)
	h.Free(large)
	h.Trim()
	h.Free(behind)
	h.flushQuick()
	require.Equal(t, 1, h.freeSpans)
	for _, n := range []int{3000, 16, 10_000} {
		before := h.committed
		b := must(t, h, n)
		require.Equal(t, before, h.committed)
		require.Greater(t, addrOf(b), addrOf(large)+1<<20)
		fill(b, 1)
		require.NoError(t, h.Check())
	}
	before := h.committed
	fill(must(t, h, 20_000), 2) // part of it was given back
	require.Greater(t, h.committed, before)
	require.NoError(t, h.Check())
}

// TestCarveRemembers: when a block is placed in the middle of a free span, both rests
// remember which of their pages were given back and what has been free since the last sweep.
func TestCarveRemembers(t *testing.T) {
	h := fresh(t, 8<<20, &Options{Classes: []int{}})
	must(t, h, 1000)
	large := must(t, h, 1<<20+64<<10)
	for -addrOf(large)&(256<<10-1) <= 2*infoMin<<granuleShift { // what is before the place of the block below is to remember
		large = must(t, h, 1<<20+64<<10)
	}
	must(t, h, 64)
	h.Free(large)
	h.Trim()
	g := h.hdr.bins[h.nextBin(binOf(infoMin))]
	whole := h.recall(g, h.largeSize(g))
	require.NotZero(t, whole.gone.size())
	require.NotZero(t, whole.idle.size())
	before := h.committed
	b, err := h.MallocAligned(5000, 256<<10)
	require.NoError(t, err)
	fill(b, 1)
	at := uint64(addrOf(b)-addrOf(h.mem)) >> granuleShift
	end := at + (5000+granule-1)>>granuleShift
	require.Greater(t, at, g+infoMin)
	restored := gap{at &^ (h.pageGranules - 1), roundUp(end, h.pageGranules)}
	require.Equal(t, before+restored.size()<<granuleShift, h.committed)
	pages := func(lo, hi uint64) gap { return pagesOf(gap{lo, hi}).gap() }
	require.Equal(t, memory{gap{whole.gone.lo, restored.lo}, pages(whole.idle.lo, at)}, h.recall(g, h.largeSize(g)))
	require.Equal(t, memory{gap{restored.hi, whole.gone.hi}, pages(end, whole.idle.hi)}, h.recall(end, h.largeSize(end)))
	require.NoError(t, h.Check())
}

// TestTaggedSpans: wherever it starts in its unit, a used span of tagMin and more has its size in the
// row of its first whole unit, through the quick lists and by Realloc, and what it was is not taken
// for a free span's when it goes.
func TestTaggedSpans(t *testing.T) {
	mem := make([]byte, 64<<10+16)
	mem = mem[-addrOf(mem)&15:]
	for pad := range uint64(unitGranules) {
		for _, n := range []uint64{tagMin - 2, tagMin - 1, tagMin, tagMin + 1, 160, largeMin - 1, largeMin} {
			h, err := New(arena.FromBytes(mem[:64<<10]), &Options{Classes: []int{}})
			require.NoError(t, err)
			before := must(t, h, int(64+pad)*granule)
			b := must(t, h, int(n)*granule)
			behind := must(t, h, 64)
			must(t, h, 64)
			g := uint64(at(h, b)) >> granuleShift
			for range 2 { // the second time it comes from a quick list
				require.Equal(t, n >= tagMin, h.largeSize(g) == n, "%d granules at %d", n, g)
				require.Equal(t, n, h.spanSize(g))
				require.Equal(t, int(n)*granule, h.Usable(b))
				require.NoError(t, h.Check())
				h.Free(b)
				require.Equal(t, n, h.quick.total)
				require.NoError(t, h.Check())
				require.Equal(t, addrOf(b), addrOf(must(t, h, int(n)*granule)))
			}
			h.Free(behind) // a free span after it, and one before
			h.Free(before)
			h.flushQuick()
			require.NoError(t, h.Check())
			b, err = h.Realloc(b, 100*granule)
			require.NoError(t, err)
			require.NoError(t, h.Check(), "%d granules at %d, cut", n, g)
			b, err = h.Realloc(b, int(n)*granule)
			require.NoError(t, err)
			require.Equal(t, g, uint64(at(h, b))>>granuleShift, "it grows in place")
			require.NoError(t, h.Check(), "%d granules at %d, grown again", n, g)
			h.Free(b)
			h.flushQuick()
			require.NoError(t, h.Check())
			require.Equal(t, 1, h.freeSpans, "all three are joined")
		}
	}
}
