package segregated

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// hasten makes what was done so far count as a row of frees.
func hasten(h *Heap) { h.notes.mallocs, h.notes.frees = h.mallocs, h.frees-rowFrees }

// freeInNotes frees blocks until Free takes notes and there are n, and returns what is left.
func freeInNotes(t testing.TB, h *Heap, bs [][]byte, n uint64) [][]byte {
	t.Helper()
	hasten(h)
	for len(bs) > 0 && (h.notes.end == 0 || h.notes.n < n) {
		h.Free(bs[0])
		bs = bs[1:]
	}
	require.NotZero(t, h.notes.end, "Free takes notes")
	require.Equal(t, n, h.notes.n)
	return bs
}

// shuffled returns n blocks of all kinds in random order, in a heap that does not sweep.
func shuffled(t testing.TB, h *Heap, n int, seed uint64) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	bs := mixedBlocks(t, h, n, rng)
	rng.Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
	h.sweepAt = ^uint64(0)
	return bs
}

// TestNotes: while Free takes notes all is as it should be for everybody who asks, and it
// finds bad blocks as ever.
func TestNotes(t *testing.T) {
	for seed := range uint64(4) {
		h := fresh(t, 64<<20, nil)
		bs := shuffled(t, h, 4000, seed)
		rest := freeInNotes(t, h, bs, 200)
		freed := bs[:len(bs)-len(rest)]
		require.NoError(t, h.Check())
		require.Equal(t, len(rest), h.Stats().LiveBlocks)
		live := 0
		for _, b := range blocks(h) {
			if b.Used {
				live++
			}
		}
		require.Equal(t, len(rest), live)
		for _, b := range freed {
			unchangedFast(t, h, alloc.ErrDoubleFree, b)
		}
		for _, b := range rest[:500] {
			if cap(b) > 16 {
				unchangedFast(t, h, alloc.ErrInvalidFree, b[16:])
			}
			unchangedFast(t, h, alloc.ErrInvalidFree, b[1:])
		}
		unchangedFast(t, h, alloc.ErrForeign, make([]byte, 16))
		unchangedFast(t, h, alloc.ErrInvalidFree, h.mem[:16])
		unchangedFast(t, h, alloc.ErrInvalidFree, h.mem[len(h.mem)-16:])
		require.NotZero(t, h.notes.end)
		require.NoError(t, h.Check())

		for _, b := range rest {
			require.NoError(t, filled(b, b[0]))
			h.Free(b)
		}
		require.NoError(t, h.Check())
		h.Trim()
		require.Equal(t, h.first, h.top)
		require.Zero(t, h.Stats().Retained)
	}
}

// unchangedFast is unchanged for the free of b, without a walk.
func unchangedFast(t *testing.T, h *Heap, want error, b []byte) {
	t.Helper()
	n, frees := h.notes.n, h.frees
	require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), want)
	require.Equal(t, n, h.notes.n)
	require.Equal(t, frees, h.frees)
}

// TestNotesMakeNoDifference drives two heaps, one of which takes no notes: they come to the
// same state.
func TestNotesMakeNoDifference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		classes := rapid.SampledFrom([][]int{nil, {16}, {}, {48, 2048}}).Draw(rt, "classes")
		var hs [2]*Heap
		for i := range hs {
			r, err := arena.Reserve(32<<20, &arena.Options{Backing: arena.GoHeap})
			require.NoError(rt, err)
			defer r.Close()
			hs[i], err = New(r, &Options{Classes: classes})
			require.NoError(rt, err)
			defer hs[i].Close()
			hs[i].sweepAt, hs[i].peak = ^uint64(0), ^uint64(0)
		}
		bs, noted := [2][][]byte{}, false
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 2))
		few := rapid.IntRange(1, 40).Draw(rt, "sizes") // of few sizes there are runs, of many spans
		for range rapid.IntRange(1, 20).Draw(rt, "bursts") {
			n := rapid.SampledFrom([]int{1, 3, 100, 300, 1000}).Draw(rt, "n")
			switch rapid.IntRange(0, 4).Draw(rt, "kind") {
			default:
				for range n {
					size := 1 + rng.IntN(few)*100
					if rng.IntN(50) == 0 {
						size = 1 + rng.IntN(30_000)
					}
					for i, h := range hs {
						b, err := h.Malloc(size)
						require.NoError(rt, err)
						bs[i] = append(bs[i], b)
					}
				}
			case 0, 1, 2:
				hasten(hs[0])
				for range min(n, len(bs[0])) {
					k, last := rng.IntN(len(bs[0])), len(bs[0])-1
					for i, h := range hs {
						h.Free(bs[i][k])
						bs[i][k] = bs[i][last]
						bs[i] = bs[i][:last]
					}
					noted = noted || hs[0].notes.n > 1
					hs[1].notes.frees = hs[1].frees // no row begins
				}
			case 4:
				for _, h := range hs {
					h.Trim()
					h.peak = ^uint64(0)
				}
			}
			if rapid.Bool().Draw(rt, "check") {
				require.NoError(rt, hs[0].Check())
			}
			require.Zero(rt, hs[1].notes.n)
		}
		hs[0].endRow()
		sameHeaps(rt, hs[0], hs[1])
		require.NoError(rt, hs[0].Check())
		rt.Log("notes were taken:", noted)
	})
}

// sameHeaps fails unless a and b are in the same state, but for what is of no account.
func sameHeaps(t require.TestingT, a, b *Heap) {
	require.Equal(t, a.mallocs, b.mallocs)
	require.Equal(t, a.frees, b.frees)
	require.Equal(t, *a.hdr, *b.hdr)
	top := a.top >> granuleBits
	require.Equal(t, a.kinds[:top+1], b.kinds[:top+1])
	require.Equal(t, rowsOf(a), rowsOf(b))
	require.Equal(t, a.freeSpans, b.freeSpans)
	require.Equal(t, a.freeSum, b.freeSum)
	require.Equal(t, a.demand, b.demand)
	require.Equal(t, a.quick, b.quick)
	require.Equal(t, len(a.deferred.list), len(b.deferred.list))
	require.True(t, slices.Equal(a.deferred.list, b.deferred.list))
	require.Equal(t, a.deferred.row, b.deferred.row)
	for ci := range a.classes {
		require.Equal(t, a.classes[ci].cur, b.classes[ci].cur)
		require.Equal(t, a.classes[ci].avail, b.classes[ci].avail)
		if a.hdr.partial[ci] != 0 {
			require.Equal(t, a.lastPartial[ci], b.lastPartial[ci])
		}
	}
}

// rowsOf returns the rows of the data, without the links before the first runs of lists.
func rowsOf(h *Heap) []uint64 {
	rows := slices.Clone(h.units[:h.top>>granuleBits+1])
	for ci, run := range h.hdr.partial {
		if run != 0 && h.classes[ci].units > 1 {
			rows[run+1] &= runMask
		}
	}
	return rows[h.first>>granuleBits:]
}

// TestNotesAreFull: when there is no room for more, what they say is done, and Free goes on.
func TestNotesAreFull(t *testing.T) {
	h := fresh(t, 64<<20, &Options{Classes: []int{}})
	var bs [][]byte
	for range 4 * maxNotes {
		bs = append(bs, must(t, h, 32))
	}
	rand.New(rand.NewPCG(2, 4)).Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
	h.sweepAt = ^uint64(0)
	rest := freeInNotes(t, h, bs, maxNotes-1)
	require.NoError(t, h.Check())
	h.Free(rest[0])
	require.Zero(t, h.notes.n)
	require.NoError(t, h.Check())
	rest = freeInNotes(t, h, rest[1:], 1)
	require.NoError(t, h.Check())
	for _, b := range rest {
		h.Free(b)
	}
	require.NoError(t, h.Check())
}

// TestNotesTable: what the notes take is in proportion to how many there are.
func TestNotesTable(t *testing.T) {
	for _, blocks := range []int{200, 8000} {
		h := fresh(t, 64<<20, nil)
		bs, most := shuffled(t, h, blocks, 17), uint64(0)
		hasten(h)
		for _, b := range bs {
			h.Free(b)
			most = max(most, h.notes.n)
		}
		require.NotZero(t, most)
		require.LessOrEqual(t, len(h.notes.table), max(noteFirst, 4*int(most+fewFrees/fewMost)))
		require.Equal(t, blocks == 200, len(h.notes.table) < maxNotes)
		require.NoError(t, h.Check())
	}
}

// TestNotesEnd: what takes a block, changes the runs or gives memory back does first what the
// notes say; what only looks does not.
func TestNotesEnd(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, h *Heap){
		"span":    func(t *testing.T, h *Heap) { must(t, h, 3000) },
		"large":   func(t *testing.T, h *Heap) { must(t, h, 300_000) },
		"aligned": func(t *testing.T, h *Heap) { _, err := h.MallocAligned(100, 4096); require.NoError(t, err) },
		"slots": func(t *testing.T, h *Heap) {
			for range 129 { // those at hand, those that are free in the current run, and more
				must(t, h, 48)
			}
		},
		"callocs": func(t *testing.T, h *Heap) {
			for range 129 {
				_, err := h.Calloc(1, 48)
				require.NoError(t, err)
			}
		},
		"idle":   func(_ *testing.T, h *Heap) { h.dissolving.top = 0; h.dissolveIdle() },
		"calloc": func(t *testing.T, h *Heap) { _, err := h.Calloc(1, 5000); require.NoError(t, err) },
		"trim":   func(t *testing.T, h *Heap) { h.Trim() },
		"sweep":  func(t *testing.T, h *Heap) { h.sweep(sweepMin) },
		"compact": func(t *testing.T, h *Heap) {
			_, err := h.Compact(1, func(_, _ []byte) bool { return false })
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := fresh(t, 64<<20, nil)
			rest := freeInNotes(t, h, shuffled(t, h, 4000, 1), 300)
			s := h.Stats()
			require.Greater(t, s.FreeBlocks, 0)
			require.NoError(t, h.Check())
			require.EqualValues(t, 300, h.notes.n)
			f(t, h)
			require.Zero(t, h.notes.n)
			require.Zero(t, h.notes.end)
			require.NoError(t, h.Check())
			for _, b := range rest {
				require.NoError(t, filled(b, b[0]))
				h.Free(b)
			}
			require.NoError(t, h.Check())
		})
	}
}

// TestNotesOfSlotsAtHand: slots at hand are handed out while Free takes notes, and freed.
func TestNotesOfSlotsAtHand(t *testing.T) {
	h := fresh(t, 64<<20, nil)
	bs := shuffled(t, h, 4000, 3)
	c := &h.classes[h.classOf[4]]
	for c.avail == 0 {
		bs = append(bs, must(t, h, 64))
	}
	rest := freeInNotes(t, h, bs, 100)
	at := must(t, h, 64)
	require.NotZero(t, h.notes.end)
	require.NoError(t, h.Check())
	h.Free(at)
	require.ErrorIs(t, alloc.Try(func() { h.Free(at) }), alloc.ErrDoubleFree)
	require.NoError(t, h.Check())
	for _, b := range rest {
		h.Free(b)
	}
	require.NoError(t, h.Check())
}

// TestNotesBlocks: a Malloc inside of a walk, which is refused, does nothing of what Free has noted.
func TestNotesBlocks(t *testing.T) {
	h := fresh(t, 64<<20, nil)
	rng := rand.New(rand.NewPCG(3, 4))
	var bs [][]byte
	for i := range 20_000 {
		bs = append(bs, must(t, h, []int{16, 100, 700, 3000}[i%4]))
	}
	rng.Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
	for i := 0; i <= 15_000 || h.notes.n <= 10; i++ {
		h.Free(bs[i])
	}
	want, n := blocks(h), 0
	for b := range h.Blocks() {
		for _, size := range []int{1, 16, 5000} {
			_, err := h.Malloc(size)
			require.ErrorIs(t, err, alloc.ErrBusy)
		}
		require.Equal(t, want[n], b)
		n++
	}
	require.Len(t, want, n)
	require.Greater(t, h.notes.n, uint64(10))
}

// TestNotesSweep: a row of frees does not keep a sweep from coming.
func TestNotesSweep(t *testing.T) {
	for _, size := range []int{500, 1000, 2100, 5000} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			var swept, committed [2]uint64
			for i, notes := range []bool{true, false} {
				h := freshIn(t, 64<<20, &arena.Options{}, nil)
				var bs [][]byte
				for range (16 << 20) / size {
					bs = append(bs, must(t, h, size))
				}
				rand.New(rand.NewPCG(3, 4)).Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
				hasten(h)
				most := uint64(0)
				for _, b := range bs {
					if !notes {
						h.notes.frees = h.frees
					}
					h.Free(b)
					most = max(most, h.notes.n)
				}
				require.Equal(t, notes, most > 0)
				must(t, h, 100_000)
				swept[i], committed[i] = h.lastSweep, h.committed
			}
			require.InDelta(t, swept[1], swept[0], 2*sweepEvery)
			require.InEpsilon(t, committed[1], committed[0], 0.05)
		})
	}
}

// TestNotesLargeGoesBack: a block that goes back when it is freed does so in a row as well.
func TestNotesLargeGoesBack(t *testing.T) {
	h := freshIn(t, 256<<20, &arena.Options{}, nil)
	bs := shuffled(t, h, 3000, 5)
	large := must(t, h, 128*h.region.PageSize())
	fill(large, 1)
	must(t, h, 16)
	h.sweepAt = ^uint64(0)
	h.credit = 1 << 20
	rest := freeInNotes(t, h, bs, 100)
	before := h.committed
	h.Free(large)
	require.LessOrEqual(t, h.committed, before-126*uint64(h.region.PageSize()))
	require.EqualValues(t, 100, h.notes.n)
	require.NoError(t, h.Check())
	for _, b := range rest {
		h.Free(b)
	}
	require.NoError(t, h.Check())
}

// TestNotesWhileWalking: inside a loop over Blocks nothing is freed, and afterwards the
// notes are still there.
func TestNotesWhileWalking(t *testing.T) {
	h := fresh(t, 64<<20, nil)
	rest := freeInNotes(t, h, shuffled(t, h, 4000, 6), 100)
	for range h.Blocks() {
		require.ErrorIs(t, alloc.Try(func() { h.Free(rest[0]) }), alloc.ErrBusy)
		break
	}
	require.EqualValues(t, 100, h.notes.n)
	require.Zero(t, h.near, "Free goes on")
	require.Zero(t, h.wideSizes, "Malloc does first what they say")
	require.NoError(t, h.Check())
	for _, b := range rest {
		h.Free(b)
	}
	require.NoError(t, h.Check())
}

// TestNotesAndOtherFrees: frees that take no notes, when there are some: of a block that
// Realloc has moved, and of all when the top has moved meanwhile.
func TestNotesAndOtherFrees(t *testing.T) {
	for name, f := range map[string]func(h *Heap, b []byte){
		"moved": func(h *Heap, b []byte) {
			_, err := h.ReallocAligned(b, 5000, 64)
			require.NoError(t, err)
		},
		"released": func(h *Heap, b []byte) { h.release(uint64(addrOf(b) - addrOf(h.mem))) },
		"top": func(h *Heap, b []byte) {
			h.moveTop(h.top)
			h.Free(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := fresh(t, 64<<20, nil)
			bs := shuffled(t, h, 4000, 7)
			bs = freeInNotes(t, h, bs, 300)
			for i, b := range bs {
				if i%3 == 0 {
					h.Free(b)
				} else {
					f(h, b)
				}
				if i%100 == 0 {
					require.NoError(t, h.Check())
				}
			}
			require.NoError(t, h.Check())
		})
	}
}

// TestNotesLargestFree: what is noted counts as free.
func TestNotesLargestFree(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, nil)
	bs := shuffled(t, h, 3000, 8)
	large := must(t, h, 200_000)
	fill(large, 1)
	must(t, h, 16)
	h.sweepAt = ^uint64(0)
	freeInNotes(t, h, bs, 100)
	require.Less(t, h.Stats().LargestFree, 200_000)
	h.Free(large)
	require.EqualValues(t, 101, h.notes.n)
	require.GreaterOrEqual(t, h.Stats().LargestFree, 200_000)
}

// TestNotesRealloc: a block grows into a run behind it that is noted as empty.
func TestNotesRealloc(t *testing.T) {
	h := fresh(t, 64<<20, nil)
	bs := shuffled(t, h, 4000, 9)
	at := map[uint64]int{} // of blocks by offset
	for i, b := range bs {
		at[uint64(addrOf(b)-addrOf(h.mem))] = i
	}
	var before piece
	for p := range h.pieces() {
		if c := &h.classes[p.class]; p.class != 0 && uintptr(p.g>>granuleBits) != c.cur && before.used {
			break
		}
		before = p
	}
	i, ok := at[before.g<<granuleShift]
	require.True(t, ok && before.class == 0 && before.used, "a block lies before a run")
	run := uintptr((before.g + before.n) >> granuleBits)
	c := &h.classes[h.kinds[run]>>8]
	var slots, others [][]byte
	for k, b := range bs {
		switch off := uintptr(addrOf(b) - addrOf(h.mem)); {
		case off>>unitShift-run < c.units:
			slots = append(slots, b)
		case k != i:
			others = append(others, b)
		}
	}
	freeInNotes(t, h, others, 20)
	for _, b := range slots {
		h.Free(b)
	}
	require.NotZero(t, h.notes.n)
	require.Zero(t, h.units[run]&c.valid)
	grown, err := h.Realloc(bs[i], int(before.n+uint64(c.units)*unitGranules)<<granuleShift)
	require.NoError(t, err)
	require.Equal(t, addrOf(bs[i]), addrOf(grown))
	require.NoError(t, h.Check())
}

// TestNotesModel: rows of frees between other operations, of which some end a row and some
// do not.
func TestNotesModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, err := arena.Reserve(32<<20, &arena.Options{Backing: arena.GoHeap})
		require.NoError(rt, err)
		defer r.Close()
		h, err := New(r, nil)
		require.NoError(rt, err)
		defer h.Close()
		var bs [][]byte
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 3))
		few := rapid.IntRange(1, 300).Draw(rt, "sizes")
		add := func(b []byte, err error) {
			require.NoError(rt, err)
			fill(b, byte(len(b)))
			bs = append(bs, b)
		}
		take := func() []byte {
			k, last := rng.IntN(len(bs)), len(bs)-1
			b := bs[k]
			bs[k], bs = bs[last], bs[:last]
			require.NoError(rt, filled(b, byte(len(b))))
			return b
		}
		size := func() int {
			if rng.IntN(60) == 0 {
				return 1 + rng.IntN(20_000)
			}
			return 1 + rng.IntN(few)*7
		}
		for range rapid.IntRange(1, 15).Draw(rt, "bursts") {
			for range rapid.SampledFrom([]int{1, 100, 1000}).Draw(rt, "blocks") {
				add(h.Malloc(size()))
			}
			hasten(h)
			for range min(len(bs), rapid.SampledFrom([]int{1, 100, 500, 1000}).Draw(rt, "frees")) {
				h.Free(take())
			}
			for range min(len(bs), rapid.IntRange(0, 3).Draw(rt, "others")) {
				switch rapid.IntRange(0, 4).Draw(rt, "other") {
				case 0:
					b := take()
					add(h.Realloc(b, size()))
				case 1:
					b := take()
					add(h.ReallocAligned(b, size(), 64))
				case 2:
					add(h.MallocAligned(size(), 64))
				case 3:
					_, err := h.Compact(1000, func(from, to []byte) bool {
						for i, b := range bs {
							if addrOf(b) == addrOf(from) {
								bs[i] = to[:len(b):len(b)]
							}
						}
						return true
					})
					require.NoError(rt, err)
				case 4:
					h.Free(take())
				}
			}
			require.NoError(rt, h.Check())
			require.Equal(rt, len(bs), h.Stats().LiveBlocks)
		}
		for len(bs) > 0 {
			h.Free(take())
		}
		require.NoError(rt, h.Check())
		h.Trim()
		require.Equal(rt, h.first, h.top)
	})
}

// TestNotesOfShared: the heap behind a Shared takes notes of spans.
func TestNotesOfShared(t *testing.T) {
	r, err := arena.Reserve(64<<20, &arena.Options{Backing: arena.GoHeap})
	require.NoError(t, err)
	defer r.Close()
	s, err := NewShared(r, &Options{Classes: []int{64}})
	require.NoError(t, err)
	defer s.Close()
	var bs [][]byte
	for i := range 3000 {
		bs = append(bs, must(t, s, 100+i%50*100))
	}
	rand.New(rand.NewPCG(1, 4)).Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
	slot, most := must(t, s, 64), uint64(0)
	hasten(s.h)
	for i, b := range bs {
		s.Free(b)
		if most = max(most, s.h.notes.n); i%500 == 0 {
			require.NoError(t, s.Check())
			require.ErrorIs(t, alloc.Try(func() { s.Free(b) }), alloc.ErrDoubleFree)
		}
	}
	require.Greater(t, most, uint64(20))
	s.Free(slot)
	require.ErrorIs(t, alloc.Try(func() { s.Free(slot) }), alloc.ErrDoubleFree)
	require.NoError(t, s.Check())
	must(t, s, 10_000)
	require.Zero(t, s.h.notes.n)
	require.NoError(t, s.Check())
}

// TestNotesOnlyWhenWorth: Free takes no notes of blocks in the order of their addresses, nor
// for long where little follows from a free.
func TestNotesOnlyWhenWorth(t *testing.T) {
	noting := func(h *Heap, bs [][]byte) (frees int) {
		hasten(h)
		for _, b := range bs {
			if h.Free(b); h.notes.end != 0 {
				frees++
			}
		}
		return frees
	}
	h := fresh(t, 64<<20, nil)
	bs := shuffled(t, h, 4000, 10)
	h.quick.part = 0 // so that each span is one after which there is something to do
	slices.SortFunc(bs, func(a, b []byte) int { return int(addrOf(a)) - int(addrOf(b)) })
	require.Less(t, noting(h, bs[:2000]), 200)
	slices.Reverse(bs)
	require.Less(t, noting(h, bs[:2000]), 200)

	for size, most := range map[int]int{64: 10_000, 500: 20_000} {
		h := fresh(t, 64<<20, nil)
		h.mallocs += 1 << 40 // so that the class is not busy, and some of the blocks are spans
		var bs [][]byte
		for range 20_000 {
			bs = append(bs, must(t, h, size))
		}
		h.mallocs -= 1 << 40
		h.sweepAt = ^uint64(0)
		rand.New(rand.NewPCG(6, 4)).Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
		n := noting(h, bs)
		require.LessOrEqual(t, n, most, "of %d bytes", size)
		require.Greater(t, n, most/8, "of %d bytes", size)
		require.NoError(t, h.Check())
	}
}
