package segregated

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// rest makes h still.
func rest(h *Heap) {
	h.quick.share = quickStill
	h.quick.still = stillMost
	h.quick.fit(h.top - h.first)
}

// idleHeap returns a still heap whose blocks of 64 bytes are all freed, and how many there were.
func idleHeap(t testing.TB) (h *Heap, ci uintptr, blocks int) {
	h, held := busyHeap(t, 64, 100, nil)
	rest(h)
	for _, b := range held {
		h.Free(b)
	}
	require.NoError(t, h.Check())
	return h, uintptr(h.classOf[64/granule]), len(held)
}

func idleRunsOf(h *Heap, ci uintptr) (n int) {
	for i := h.idle.first[ci]; i != 0; i = h.idle.nodes[i-1].next {
		n++
	}
	return n
}

// TestIdleRuns: what a class frees in a still heap is there for it again, without a new run, and
// no memory moves.
func TestIdleRuns(t *testing.T) {
	h, ci, n := idleHeap(t)
	require.Equal(t, 99, idleRunsOf(h, ci), "all but the current one")
	units := uint64(h.classes[ci].units) * unitGranules
	require.Equal(t, 99*units, h.idle.sum)
	require.Less(t, h.inUse(), 8*units, "an idle run is not in use")
	require.GreaterOrEqual(t, h.largestSpan(), units<<granuleShift, "what it holds can be had")
	top, free := h.top, h.freeSum
	var bs [][]byte
	for range n {
		bs = append(bs, must(t, h, 64))
		require.EqualValues(t, 100, h.hdr.runs[ci])
	}
	require.Zero(t, h.idle.sum)
	require.Equal(t, [2]uint64{top, free}, [2]uint64{h.top, h.freeSum})
	require.NoError(t, h.Check())
	h.Free(bs[0])
	require.ErrorIs(t, alloc.Try(func() { h.Free(bs[0]) }), alloc.ErrDoubleFree)
	for _, b := range bs[1:] {
		h.Free(b)
	}
	for i, b := range bs {
		require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree, "block %d", i)
	}
	require.Equal(t, 99, idleRunsOf(h, ci))
}

// TestIdleRunsGiveWay: idle runs do not keep the heap from anything: they go when another size
// needs the room, when memory ends, in Trim, and in time.
func TestIdleRunsGiveWay(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, h *Heap){
		"growth": func(t *testing.T, h *Heap) {
			h.peak = h.committed
			room, dirty := int(h.idle.sum)<<granuleShift, h.hdr.dirty
			must(t, h, int(dirty-h.top)<<granuleShift+room/2)
			require.Equal(t, dirty, h.hdr.dirty)
		},
		"its class is given up": func(t *testing.T, h *Heap) {
			ci := uintptr(h.classOf[64/granule])
			h.coalesce()
			require.Equal(t, h.classes[ci].empty(), *h.classes[ci].live)
			h.deferred.row = deferAfter // so that the runs are listed
			require.True(t, h.retire(ci))
			require.Empty(t, h.deferred.list)
		},
		"Trim": func(t *testing.T, h *Heap) { h.Trim() },
		"flush": func(t *testing.T, h *Heap) {
			require.True(t, h.flushQuick())
			require.False(t, h.flushQuick())
		},
		"sweeps": func(t *testing.T, h *Heap) {
			h.idle.sweeps = 0
			for range idleSweeps { // each class has taken some
				h.idle.taken = allClasses
				h.ageIdle()
			}
			require.NotZero(t, h.idle.sum)
			for range idleSweeps {
				require.NotZero(t, h.idle.sum)
				h.sweep(sweepMin)
			}
		},
		"operations": func(t *testing.T, h *Heap) {
			for i := 0; h.idle.sum != 0; i++ {
				require.Less(t, i, 1<<23)
				h.Free(must(t, h, 5000))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, ci, _ := idleHeap(t)
			f(t, h)
			require.Zero(t, h.idle.sum)
			require.Zero(t, idleRunsOf(h, ci))
			require.NoError(t, h.Check())
		})
	}
}

// TestNoIdleRuns: a heap that grows, one in a file, one that reports events, and that of a Shared
// keep none.
func TestNoIdleRuns(t *testing.T) {
	heaps := otherHeaps(t)
	grows := fresh(t, 8<<20, nil)
	heaps["grows"] = otherHeap{grows, grows}
	for name, c := range heaps {
		t.Run(name, func(t *testing.T) {
			var bs [][]byte
			for range 5000 {
				bs = append(bs, must(t, c.a, 64))
			}
			if name != "grows" {
				rest(c.h)
			}
			for _, b := range bs {
				c.a.Free(b)
			}
			require.Zero(t, c.h.idle.sum)
			require.Empty(t, c.h.idle.nodes)
		})
	}
}

// TestDamagedIdleRun: an idle run whose rows were written to is not handed out, nor made a free
// span, and the heap does not look at the others any more.
func TestDamagedIdleRun(t *testing.T) {
	for name, damage := range map[string]func(h *Heap, run uint64){
		"live": func(h *Heap, run uint64) { *h.row(run) |= 1 },
		"kind": func(h *Heap, run uint64) { *h.kind(run) = kindMarks },
	} {
		for _, size := range []int{64, 5000} { // a slot; a span, for which the lists are emptied
			t.Run(fmt.Sprint(name, "_", size), func(t *testing.T) {
				h, ci, n := idleHeap(t)
				h.peak = h.committed
				damage(h, uint64(h.idle.nodes[h.idle.first[ci]-1].run))
				require.Error(t, h.Check())
				var err error
				for range n {
					if _, err = h.Malloc(size); err != nil {
						break
					}
				}
				require.ErrorIs(t, err, alloc.ErrCorrupt)
			})
		}
	}
}

// TestIdleRunsFirst: a class that needs another run takes an idle one before a partial one.
func TestIdleRunsFirst(t *testing.T) {
	h, held := busyHeap(t, 64, 100, nil)
	rest(h)
	ci := h.classOf[64/granule]
	c := &h.classes[ci]
	for i, b := range held {
		if i%(8*c.numSlots()) != 0 { // one run of eight stays partial
			h.Free(b)
		}
	}
	partial := h.hdr.partial[ci]
	require.NotZero(t, partial)
	require.NotZero(t, h.idle.sum)
	for h.idle.sum != 0 {
		for run := c.cur; c.cur == run; {
			must(t, h, 64)
		}
		require.Equal(t, partial, h.hdr.partial[ci])
	}
	require.NoError(t, h.Check())
	for h.hdr.partial[ci] == partial {
		must(t, h, 64)
	}
}

// TestDamagedListIdleRuns: when the list of partial runs is found damaged, after the idle ones,
// no more are handed out.
func TestDamagedListIdleRuns(t *testing.T) {
	h, ci, _ := idleHeap(t)
	require.NotZero(t, h.idle.sum)
	h.hdr.partial[ci] = 1
	var err error
	for err == nil {
		_, err = h.Malloc(64)
	}
	require.Zero(t, h.idle.sum)
	require.ErrorIs(t, err, alloc.ErrCorrupt)
	_, err = h.Malloc(64)
	require.ErrorIs(t, err, alloc.ErrCorrupt)
}

// TestDamagedNoteIdleRuns: when a row of notes ends with damage, no idle run is handed out.
func TestDamagedNoteIdleRuns(t *testing.T) {
	for name, take := range map[string]func(h *Heap) error{
		"malloc":  func(h *Heap) error { _, err := h.Malloc(64); return err },
		"calloc":  func(h *Heap) error { _, err := h.Calloc(1, 64); return err },
		"aligned": func(h *Heap) error { _, err := h.MallocAligned(64, 16); return err },
	} {
		t.Run(name, func(t *testing.T) {
			h, held := busyHeap(t, 64, 100, nil)
			others := make([][]byte, 200)
			for i := range others {
				others[i] = must(t, h, 5000)
			}
			rest(h)
			for _, b := range held[:len(held)/2] {
				h.Free(b)
			}
			c := &h.classes[h.classOf[64/granule]]
			for c.refresh(); c.avail != 0; c.refresh() { // until the current run is full
				must(t, h, 64)
			}
			require.NotZero(t, h.idle.sum)

			hasten(h)
			for i := 0; h.notes.n == 0; i++ {
				h.Free(others[i*67%len(others)])
			}
			clearMark(h.rowOf(h.noted(0)), h.noted(0))
			require.ErrorIs(t, take(h), alloc.ErrCorrupt)
			require.NotZero(t, h.idle.sum)
		})
	}
}

// TestDissolveMeetsIdleRun: an idle run is on no list, also if the search for sparse ones was to
// go on with it.
func TestDissolveMeetsIdleRun(t *testing.T) {
	h, held := busyHeap(t, 64, 3*dissolveLooks, nil)
	ci := uintptr(h.classOf[64/granule])
	for i, b := range held {
		if i%16 == 0 {
			h.Free(b) // too few for any run to dissolve
		}
	}
	look := func() {
		h.endRow()
		looks, runs := dissolveLooks, dissolveRuns
		h.dissolveClass(ci, &looks, &runs)
		require.NoError(t, h.Check())
	}
	look()
	next := uintptr(h.dissolving.traces[ci].next)
	rest(h)
	for i, b := range held {
		if i%16 != 0 && (addrOf(b)-addrOf(h.mem))>>unitShift-next < h.classes[ci].units {
			h.Free(b)
		}
	}
	h.endRow()
	require.Equal(t, 1, idleRunsOf(h, ci))
	require.EqualValues(t, next, h.idle.nodes[h.idle.first[ci]-1].run)
	look()
	require.NotZero(t, h.dissolving.traces[ci].next, "it began anew")
}

// TestIdleRunsAtRandom drives a still heap that builds up and takes down, with blocks of all
// sizes, and verifies contents and the heap.
func TestIdleRunsAtRandom(t *testing.T) {
	kept := 0
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		h := fresh(t, 16<<20, nil)
		type block struct {
			b []byte
			c byte
		}
		var live []block
		drop := func(i int) {
			require.NoError(t, filled(live[i].b, live[i].c))
			h.Free(live[i].b)
			live[i] = live[len(live)-1]
			live = live[:len(live)-1]
		}
		for round := range 12 {
			most := 200 + rng.IntN(4000)
			limit := 1 << (5 + rng.IntN(8))
			for len(live) < most {
				size := 1 + rng.IntN(limit)
				c := byte(rng.Uint32())
				if i := rng.IntN(len(live) + 1); i < len(live) && rng.IntN(4) == 0 {
					old := live[i]
					b, err := h.Realloc(old.b, size)
					require.NoError(t, err)
					require.NoError(t, filled(b[:min(len(b), len(old.b))], old.c))
					fill(b, c)
					live[i] = block{b, c}
					continue
				}
				b := must(t, h, size)
				fill(b, c)
				live = append(live, block{b, c})
			}
			rest(h)
			for keep := rng.IntN(most); len(live) > keep; {
				drop(rng.IntN(len(live)))
			}
			for ci := range h.classes {
				kept += idleRunsOf(h, uintptr(ci))
			}
			require.NoError(t, h.Check(), "seed %d round %d", seed, round)
		}
		for len(live) > 0 {
			drop(0)
		}
		h.Trim()
		require.Zero(t, h.Stats().Retained)
	}
	require.NotZero(t, kept)
}

// TestReallocDissolves: that Malloc makes spans of the very run whose slot is to move does not
// mislead Realloc.
func TestReallocDissolves(t *testing.T) {
	dissolved := 0
	for size := 2500; size < 4000; size += 100 {
		h, held := busyHeap(t, 64, 100, nil)
		for i, b := range held {
			if i%4 != 0 {
				h.Free(b)
			}
		}
		for i := 0; i < len(held); i += 4 {
			b := held[i]
			was := inRuns(h, b)
			to, err := h.Realloc(b, size)
			require.NoError(t, err)
			require.NoError(t, filled(to[:64], byte(i)))
			if was && !inRuns(h, b) {
				dissolved++
			}
		}
		require.NoError(t, h.Check(), "to %d bytes", size)
	}
	require.NotZero(t, dissolved)
}
