package segregated

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// fillLarge takes spans until a has so much data that it may have a reserve, and then blocks of 64
// bytes until enough.
func fillLarge(t testing.TB, a alloc.Allocator, h *Heap, enough func() bool) (spans, slots [][]byte) {
	for h.top-h.first < reserveLeast {
		spans = append(spans, must(t, a, 4000))
	}
	for !enough() {
		slots = append(slots, must(t, a, 64))
	}
	return spans, slots
}

// reserved returns a heap with a reserve.
func reserved(t testing.TB) (h *Heap, spans, slots [][]byte) {
	h = fresh(t, 8<<20, nil)
	spans, slots = fillLarge(t, h, h, func() bool { return h.reserve.size() != 0 })
	require.NoError(t, h.Check())
	return h, spans, slots
}

// TestReserve: runs of all classes lie side by side, whatever is taken between them, what is left
// of the reserve is nobody's, and the next one begins when a run does not fit.
func TestReserve(t *testing.T) {
	h, _, _ := reserved(t)
	rest := h.reserve
	require.Less(t, rest.size(), uint64(reserveSize))
	require.GreaterOrEqual(t, h.largestSpan(), rest.size()<<granuleShift, "what it holds can be had")
	used := h.inUse()
	must(t, h, 4000)
	require.InDelta(t, used+spanFor(4000), h.inUse(), minSpan, "it is not in use")
	require.Equal(t, rest, h.reserve, "a span is not cut from it")
	for off := rest.lo << granuleShift; off < rest.hi<<granuleShift; off += granule {
		require.ErrorIs(t, alloc.Try(func() { h.Free(h.mem[off : off+64]) }), alloc.ErrDoubleFree)
	}
	require.Equal(t, rest, h.reserve)
	for _, size := range []int{96, 112, 128, 96, 16, 16} {
		c := &h.classes[h.classOf[size/granule]]
		n, end := uint64(c.units)*unitGranules, h.reserve.hi
		want := h.reserve.lo
		for runs := h.hdr.runs; h.hdr.runs == runs; {
			must(t, h, size)
			must(t, h, 4000)
		}
		if c.cur<<granuleBits == uintptr(want) {
			require.Equal(t, gap{want + n, end}, h.reserve)
		} else {
			require.Less(t, end-want, n, "it was too short")
			require.EqualValues(t, c.cur<<granuleBits+uintptr(n), h.reserve.lo, "it is a new one")
		}
		require.NoError(t, h.Check())
	}
}

// runOf takes blocks of size bytes until their class has another run, and returns where that is.
func runOf(t testing.TB, h *Heap, size int) uint64 {
	ci := h.classOf[size/granule]
	for runs := h.hdr.runs[ci]; h.hdr.runs[ci] == runs; {
		must(t, h, size)
	}
	return uint64(h.classes[ci].cur) << granuleBits
}

// TestReserveOrder: a run is cut from a free span, if none has room for it from the reserve, and only
// then from the top, be it where the data has been before or not; in a crowded heap that grows for none,
// and if it is long, the reserve stays what it is.
func TestReserveOrder(t *testing.T) {
	h, spans, _ := reserved(t)
	for _, b := range spans[100:103] {
		h.Free(b)
	}
	h.flushQuick()
	before := h.reserve
	require.NotEqual(t, before.lo, runOf(t, h, 96), "there is a free span")
	require.Equal(t, before, h.reserve)
	for h.nextBin(binOf(5*unitGranules)) != numBins { // until there is none
		must(t, h, 4000)
	}
	var up [][]byte
	for range 20 {
		up = append(up, must(t, h, 5000))
	}
	for _, b := range up { // the top falls below what was touched
		h.Free(b)
	}
	h.flushQuick()
	require.Less(t, h.top+4*unitGranules, h.safe.dirty)
	before = h.reserve
	require.Equal(t, before.lo, runOf(t, h, 112))
	before = h.reserve
	ci := uintptr(h.classOf[1920/granule])
	long := h.newRun(ci, true)
	require.NotEqual(t, before.lo, uint64(long)<<granuleBits)
	require.Equal(t, before, h.reserve, "the run is too long")
	h.leaveRun(ci, long)
}

// TestReserveStays: a reserve of which runs are cut is not given up.
func TestReserveStays(t *testing.T) {
	h, _, _ := reserved(t)
	h.ageReserve()
	require.NotZero(t, h.reserve.size(), "it has been cut")
	lo := h.reserve.lo
	require.Equal(t, lo, runOf(t, h, 96))
	h.ageReserve()
	require.NotZero(t, h.reserve.size())
	h.ageReserve()
	require.Zero(t, h.reserve.size())
}

// TestReserveWithoutRoom: where the region or the limit has no room for a reserve, nothing is given up
// for it.
func TestReserveWithoutRoom(t *testing.T) {
	for _, limited := range []bool{true, false} {
		h, spans, _ := reserved(t)
		h.dropReserve()
		for h.nextBin(binOf(unitGranules)) != numBins {
			must(t, h, 1100)
		}
		if limited {
			h.limit = h.committed + h.pageSize
		} else {
			h.end = h.top<<granuleShift + reserveSize<<granuleShift/2
		}
		h.Free(spans[5])
		kept, top := h.quick.total, h.top
		require.NotZero(t, kept)
		g := h.findRun(unitGranules, true)
		require.NotZero(t, g)
		require.Zero(t, h.reserve.size())
		require.Equal(t, kept, h.quick.total)
		require.LessOrEqual(t, h.top, top+2*unitGranules)
		h.freeSpan(g, unitGranules)
		h.end = uint64(len(h.units)-1) << unitShift
		require.NoError(t, h.Check())
	}
}

// TestReserveGivesWay: a reserve does not keep the heap from anything: it goes when memory ends, in
// Trim, before blocks are moved, and in time.
func TestReserveGivesWay(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, h *Heap, spans [][]byte){
		"Trim": func(t *testing.T, h *Heap, _ [][]byte) { h.Trim() },
		"Compact": func(t *testing.T, h *Heap, _ [][]byte) {
			_, err := h.Compact(1<<20, func(_, _ []byte) bool { return false })
			require.NoError(t, err)
		},
		"no memory": func(t *testing.T, h *Heap, _ [][]byte) {
			for size := 4096; size >= 1024; {
				if _, err := h.Malloc(size); err != nil {
					require.ErrorIs(t, err, alloc.ErrNoMemory)
					size -= 64
				}
			}
			require.Less(t, h.largestSpan(), uint64(2048))
		},
		"sweeps": func(t *testing.T, h *Heap, _ [][]byte) {
			h.idle.sweeps, h.reserveCut = 0, true
			for range 2 * idleSweeps {
				require.NotZero(t, h.reserve.size())
				h.sweep(sweepMin)
			}
		},
		"operations": func(t *testing.T, h *Heap, spans [][]byte) {
			for _, b := range spans {
				h.Free(b)
			}
			for i := 0; h.reserve.size() != 0; i++ {
				require.Less(t, i, 1<<23)
				h.Free(must(t, h, 5000))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, spans, _ := reserved(t)
			f(t, h, spans)
			require.Zero(t, h.reserve.size())
			require.NoError(t, h.Check())
		})
	}
}

// TestReserveWithLimit: what the reserve would take is not there, but a run is.
func TestReserveWithLimit(t *testing.T) {
	h, _, _ := reserved(t)
	h.dropReserve()
	c := &h.classes[h.classOf[96/granule]]
	for c.cur == 0 {
		h.limit = h.committed + 2*h.pageSize
		if h.safe.commit > h.top {
			must(t, h, int(h.safe.commit-h.top)<<granuleShift)
		}
		must(t, h, 96)
		require.Zero(t, h.reserve.size())
	}
	require.NoError(t, h.Check())
}

// TestNoReserve: a small heap, one in a file, one that reports events, and that of a Shared have
// none.
func TestNoReserve(t *testing.T) {
	for name, c := range otherHeaps(t) {
		t.Run(name, func(t *testing.T) {
			n := 0
			spans, slots := fillLarge(t, c.a, c.h, func() bool { n++; return n == 2000 })
			require.Zero(t, c.h.reserve.size())
			for _, b := range append(spans, slots...) {
				c.a.Free(b)
			}
		})
	}
	small, _ := busyHeap(t, 64, 100, nil)
	require.Zero(t, small.reserve.size())
}

// TestDamagedReserve: of a reserve whose marks were written to nothing is handed out.
func TestDamagedReserve(t *testing.T) {
	for name, damage := range map[string]func(h *Heap, g uint64){
		"used": func(h *Heap, g uint64) { *h.rowOf(g) |= mark(asUsed, g) },
		"gone": func(h *Heap, g uint64) { clearMark(h.rowOf(g), g) },
		"size": func(h *Heap, g uint64) { *h.row(g>>granuleBits + 1) += 1 << granuleBits },
		"kind": func(h *Heap, g uint64) { *h.kind(g >> granuleBits) = kindRun },
	} {
		for how, f := range map[string]func(h *Heap) error{
			"Check": func(h *Heap) error { return h.Check() },
			"Malloc": func(h *Heap) error {
				for range 10000 {
					if _, err := h.Malloc(64); err != nil {
						return err
					}
				}
				return nil
			},
			"Trim": func(h *Heap) error {
				h.Trim()
				_, err := h.Malloc(64)
				return err
			},
		} {
			t.Run(name+"_"+how, func(t *testing.T) {
				h, _, _ := reserved(t)
				damage(h, h.reserve.lo)
				err := f(h)
				require.ErrorIs(t, err, alloc.ErrCorrupt)
				if how == "Check" && name == "used" { // the others end its walk before
					require.ErrorContains(t, err, "reserve")
				}
			})
		}
	}
}

// TestReserveAmongOthers: a heap with much data and blocks of all sizes that come and go is sound
// throughout, and has a reserve most of the time.
func TestReserveAmongOthers(t *testing.T) {
	h := fresh(t, 16<<20, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	var held [][]byte
	with := 0
	for i := range 200_000 {
		switch {
		case len(held) != 0 && rng.IntN(100) < 30+20*(i/20_000%3):
			k := rng.IntN(len(held))
			require.NoError(t, filled(held[k], held[k][0]))
			h.Free(held[k])
			held[k] = held[len(held)-1]
			held = held[:len(held)-1]
		case h.inUse()<<granuleShift < 12<<20:
			size := 16 + rng.IntN(300)
			if rng.IntN(8) == 0 {
				size = 1000 + rng.IntN(8000)
			}
			b := must(t, h, size)
			fill(b, byte(i))
			held = append(held, b)
		}
		switch {
		case i%10_000 == 0:
			require.NoError(t, h.Check())
		case i%70_001 == 0:
			h.Trim()
		}
		if h.reserve.size() != 0 {
			with++
		}
	}
	require.Greater(t, with, 20_000)
}
