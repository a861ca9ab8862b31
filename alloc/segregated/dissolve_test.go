package segregated

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc"
)

// busyHeap returns a heap with so many runs of blocks of size bytes, and its
// blocks, each filled with its number.
func busyHeap(t testing.TB, size, runs int, o *Options) (*Heap, [][]byte) {
	h := fresh(t, 8<<20, o)
	var held [][]byte
	for count := uint32(0); count < uint32(runs); {
		b := must(t, h, size)
		fill(b, byte(len(held)))
		held = append(held, b)
		count = 0
		for _, n := range h.hdr.runs {
			count += n
		}
	}
	return h, held
}

// inRuns reports whether b is a slot.
func inRuns(h *Heap, b []byte) bool { return h.kinds[(addrOf(b)-addrOf(h.mem))>>unitShift] >= kindRun }

// A run dissolves into used and free spans at any pattern of live slots; blocks
// keep their bytes, are freed as spans, and a second free is found.
func TestDissolve(t *testing.T) {
	for _, mode := range []Mode{Fast, Checked} {
		t.Run(mode.String(), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				size := rapid.IntRange(minSpan, MaxClass/granule-8).Draw(rt, "granules") * granule
				keep := rapid.Uint64().Draw(rt, "keep")
				h, held := busyHeap(t, size, 3, &Options{Mode: mode, Quarantine: -1, Seed: 1})
				defer h.Close()
				live := map[int][]byte{}
				for i, b := range held {
					if keep>>(i%64)&1 != 0 || !inRuns(h, b) {
						live[i] = b
					} else {
						h.Free(b)
					}
				}
				blocks := h.Stats().LiveBlocks
				h.endRow()
				for ci := range h.classes {
					for run := uintptr(h.hdr.partial[ci]); run != 0; run = uintptr(h.hdr.partial[ci]) {
						h.dissolve(uintptr(ci), run)
						if err := h.Check(); err != nil {
							rt.Fatal(err)
						}
					}
				}
				if n := h.Stats().LiveBlocks; n != blocks {
					rt.Fatalf("%d live blocks, were %d", n, blocks)
				}
				for i, b := range live {
					if err := filled(b, byte(i)); err != nil {
						rt.Fatal(err)
					}
					h.Free(b)
					if err := alloc.Try(func() { h.Free(b) }); err == nil {
						rt.Fatalf("second free of block %d: no fault", i)
					}
				}
				h.Trim()
				if s := h.Stats(); s.LiveBlocks != 0 || s.Retained != 0 {
					rt.Fatalf("all is freed: %+v", s)
				}
			})
		})
	}
}

// The sparse runs of a class that nobody asks for any more dissolve as the data
// grows, and their room goes to others; those of a class in use stay.
func TestDissolveIdle(t *testing.T) {
	h, held := busyHeap(t, 64, 40, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	var live [][]byte
	for _, b := range held {
		if rng.IntN(10) == 0 {
			live = append(live, b)
		} else {
			h.Free(b)
		}
	}
	ci := uintptr(h.classOf[64/granule])
	before, dirty := h.hdr.runs[ci], h.hdr.dirty
	for h.hdr.dirty < dirty+dissolveEvery {
		must(t, h, 3000) // fits no hole that a run has
	}
	require.Equal(t, before, h.hdr.runs[ci], "the first look finds the class in use")
	for h.hdr.dirty < dirty+60*dissolveEvery {
		must(t, h, 3000)
	}
	require.Less(t, h.hdr.runs[ci], before/4)
	require.NoError(t, h.Check())
	for h.hdr.runs[ci] < before/4+10 { // it wants runs again
		live = append(live, must(t, h, 64))
	}
	for _, b := range live {
		h.Free(b)
	}
}

// The search goes on where it stopped, or at the beginning of the list if what
// it would look at next is not there any more.
func TestDissolveGoesOn(t *testing.T) {
	h, held := busyHeap(t, 64, 3*dissolveLooks, nil)
	ci := uintptr(h.classOf[64/granule])
	for i, b := range held {
		if i%16 == 0 {
			h.Free(b) // too few for any run to dissolve
		}
	}
	look := func() uintptr {
		looks, runs := dissolveLooks, dissolveRuns
		h.dissolveClass(ci, &looks, &runs)
		require.NoError(t, h.Check())
		require.Equal(t, [2]int{0, dissolveRuns}, [2]int{looks, runs})
		return uintptr(h.dissolving.traces[ci].next)
	}
	nth := func(n int) uintptr { // on the list
		run := uintptr(h.hdr.partial[ci])
		for range n {
			run = h.nextRun(ci, run)
		}
		return run
	}
	first := look()
	require.Equal(t, nth(dissolveLooks), first)
	second := look()
	require.Equal(t, nth(2*dissolveLooks), second)
	in := func(b []byte, run uintptr) bool {
		return (addrOf(b)-addrOf(h.mem))>>unitShift-run < h.classes[ci].units
	}
	for i, b := range held {
		if i%16 != 0 && in(b, second) {
			h.Free(b)
		}
	}
	require.False(t, h.isRun(ci, second), "it was empty and has gone")
	require.Equal(t, nth(dissolveLooks), look(), "from the beginning")
	for h.units[first] != ^uint64(0) {
		must(t, h, 64)
	}
	require.Equal(t, nth(dissolveLooks), look(), "it is full, from the beginning again")
}

// A damaged list of runs is damage.
func TestDissolveDamaged(t *testing.T) {
	h, held := busyHeap(t, 64, 4, nil)
	for i, b := range held {
		if i%2 == 0 {
			h.Free(b)
		}
	}
	ci := uintptr(h.classOf[64/granule])
	h.hdr.partial[ci] = uint32(h.hdr.first >> granuleBits) // a span, or another's run
	looks, runs := dissolveLooks, dissolveRuns
	h.dissolveClass(ci, &looks, &runs)
	require.ErrorIs(t, h.err, alloc.ErrCorrupt)
}

// While free spans that hold a block are many, a class takes them rather than a
// run from pages that were not touched.
func TestCrowded(t *testing.T) {
	h, held := busyHeap(t, 1024, 2, &Options{Classes: []int{1024}})
	var fillers [][]byte
	for range 600 { // holes of 2 KiB, which no run of 8 KiB fits
		fillers = append(fillers, must(t, h, 2048), must(t, h, 1040))
	}
	for i := 0; i < len(fillers); i += 2 {
		h.Free(fillers[i])
	}
	h.flushQuick()
	runs, top := h.hdr.runs[1], h.hdr.top
	for h.hdr.top == top {
		b := must(t, h, 1024)
		require.False(t, inRuns(h, b) && h.hdr.runs[1] > runs && h.hdr.top == top, "a run fits no hole")
		held = append(held, b)
	}
	require.Greater(t, len(held), 500, "the holes were used first")
	require.NoError(t, h.Check())
	for _, b := range held {
		require.Equal(t, 1024, h.Usable(b))
		h.Free(b)
	}
}

// Heaps in files keep their runs whole.
func TestDissolveNotInFiles(t *testing.T) {
	h, held := busyHeap(t, 64, 40, nil)
	h.durable = true
	for i, b := range held {
		if i%16 != 0 {
			h.Free(b)
		}
	}
	h.top += 2 * dissolveEvery
	ok := h.dissolveIdle()
	ok = h.dissolveIdle() || ok
	h.top -= 2 * dissolveEvery
	require.False(t, ok)
	h.durable = false
	require.NotZero(t, h.hdr.partial[h.classOf[64/granule]])
}

// Looks for runs to dissolve that are in vain come twice as seldom each time.
func TestDissolveLessOften(t *testing.T) {
	h, held := busyHeap(t, 64, 8, nil)
	d := &h.dissolving
	d.top, d.every = 0, 0
	for every := uint64(2 * dissolveEvery); every <= 4*dissolveRarely; every *= 2 {
		require.False(t, h.dissolveIdle())
		require.EqualValues(t, min(every, dissolveRarely), d.every)
		require.False(t, h.dissolveIdle(), "at once")
		require.EqualValues(t, min(every, dissolveRarely), d.every)
		d.top = h.top - uint64(d.every)
	}
	for i, b := range held {
		if i%4 == 0 {
			h.Free(b)
		}
	}
	d.top, d.traces = 0, [maxClasses]classTrace{}
	require.True(t, h.dissolveIdle())
	require.EqualValues(t, dissolveEvery, d.every)
	require.NoError(t, h.Check())
}

func TestIsCrowded(t *testing.T) {
	for _, tc := range []struct {
		data, free uint64
		want       bool
	}{
		{crowdedSmall - 64, (crowdedSmall - 64) / crowdedLess, true},
		{crowdedSmall - 64, (crowdedSmall-64)/crowdedLess - 1, false},
		{crowdedSmall, crowdedSmall / crowded, true},
		{crowdedSmall, crowdedSmall/crowded - 1, false},
	} {
		h := &Heap{first: 100, top: 100 + tc.data, freeSum: tc.free}
		require.Equal(t, tc.want, h.isCrowded(), tc)
	}
}

// A class that was refused a run takes up a partial one as soon as there is any.
func TestPartialBeforeSpan(t *testing.T) {
	h, held := busyHeap(t, 64, 4, nil)
	ci := uintptr(h.classOf[64/granule])
	c := &h.classes[ci]
	for i, b := range held {
		if !inRuns(h, b) {
			continue
		}
		if _, run, _ := h.slotOf(uint64(addrOf(b) - addrOf(h.mem))); run == uint64(c.cur) || i%2 == 0 {
			h.Free(b)
		}
	}
	h.demand[ci].wait = classWait
	h.Trim()
	require.Zero(t, c.cur)
	require.NotZero(t, h.hdr.partial[ci])
	require.True(t, inRuns(h, must(t, h, 64)))
}

// A class that was refused a run asks again after so many blocks.
func TestClassWaits(t *testing.T) {
	h, _ := busyHeap(t, 64, 2, nil)
	c := &h.classes[h.classOf[64/granule]]
	for c.avail != 0 || *c.live != ^uint64(0) {
		must(t, h, 64)
	}
	require.Zero(t, h.hdr.partial[h.classOf[64/granule]])
	h.demand[h.classOf[64/granule]].wait = 3
	for i := range 5 {
		require.Equal(t, i >= 3, inRuns(h, must(t, h, 64)), i)
	}
}

// TestRetire: an empty run that is current is given up when the data has grown by a sixteenth,
// or shrunk, if its class has not taken up another since the look before.
func TestRetire(t *testing.T) {
	h, held := busyHeap(t, 64, 1, nil)
	ci := uintptr(h.classOf[64/granule])
	for _, b := range held {
		if inRuns(h, b) {
			h.Free(b)
		}
	}
	must(t, h, int(h.top-h.first)<<granuleShift) // so that a sixteenth is more than dissolveEvery
	h.demand[ci].total = 100
	look := func(grown uint64) bool {
		h.dissolving.top, h.dissolving.retired = h.top-2*dissolveRarely, h.top-grown
		found := h.dissolveIdle()
		require.NoError(t, h.Check())
		return found
	}
	part := (h.top - h.first) >> retireShift
	h.dissolving.traces[ci].now++
	require.False(t, look(part+1), "it has taken one up")
	require.Equal(t, h.top, h.dissolving.retired)
	b := must(t, h, 64)
	require.False(t, look(part+1), "it is not empty")
	h.Free(b)
	require.False(t, look(part), "the data has not grown")
	require.EqualValues(t, 1, h.hdr.runs[ci])
	require.True(t, look(part+1))
	require.Zero(t, h.hdr.runs[ci])
	require.EqualValues(t, 50, h.demand[ci].total)
	require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)

	for h.hdr.runs[ci] == 0 {
		held = append(held, must(t, h, 64))
	}
	h.Free(held[len(held)-1])
	h.dissolving.traces[ci].before = h.dissolving.traces[ci].now
	require.True(t, look(^uint64(0)), "it has shrunk")
	require.Zero(t, h.hdr.runs[ci])
}
