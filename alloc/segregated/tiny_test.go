package segregated

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// tinyHeap returns a heap with so many blocks of up to 8 bytes, each filled with its number.
func tinyHeap(t testing.TB, n int) (*Heap, [][]byte) {
	h := fresh(t, 8<<20, nil)
	h.tiny.wait = 0
	var bs [][]byte
	for i := range n {
		b := must(t, h, i%(tinySize+1))
		fill(b, byte(i))
		bs = append(bs, b)
	}
	return h, bs
}

// isTinyBlock reports whether b lies in a tiny run.
func isTinyBlock(h *Heap, b []byte) bool {
	return h.isTiny(uint64(h.kinds[(addrOf(b)-addrOf(h.mem))>>unitShift] >> 8))
}

// TestTiny: blocks of up to 8 bytes take 8 each, keep their bytes, and are found when they are freed
// twice or are none.
func TestTiny(t *testing.T) {
	h, bs := tinyHeap(t, 1000)
	require.EqualValues(t, (1000+tinySlots-1)/tinySlots, h.hdr.runs[h.tiny.class])
	require.Equal(t, 1000*tinySize, h.Stats().Live)
	seen := map[uintptr]bool{}
	for i, b := range bs {
		require.True(t, isTinyBlock(h, b))
		require.Zero(t, addrOf(b)%tinySize)
		require.False(t, seen[addrOf(b)])
		seen[addrOf(b)] = true
		require.NoError(t, filled(b, byte(i)))
		require.Equal(t, tinySize, h.Usable(b))
	}
	require.NoError(t, h.Check())
	for i, b := range bs {
		if i%3 != 0 {
			h.Free(b)
		}
	}
	require.NoError(t, h.Check())
	for i, b := range bs {
		if i%3 != 0 {
			unchanged(t, h, alloc.ErrDoubleFree, func() { h.Free(b) })
			unchanged(t, h, alloc.ErrDoubleFree, func() { h.Realloc(b, 4) })
			continue
		}
		off := addrOf(b) - addrOf(h.mem)
		for k := uintptr(1); k < tinySize; k++ {
			f := unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(h.mem[off+k:][:1]) })
			require.Equal(t, alloc.Block{Off: arena.Offset(off), Size: tinySize, Used: true}, *f.Block)
		}
		require.NoError(t, filled(b, byte(i)))
		h.Free(b)
	}
	require.Zero(t, h.Stats().LiveBlocks)
	require.LessOrEqual(t, h.hdr.runs[h.tiny.class], uint32(1), "but for the current one")
	h.Trim()
	require.Zero(t, h.hdr.runs[h.tiny.class])
	require.Empty(t, h.tiny.chunks)
	require.Equal(t, h.first, h.top)
	require.NoError(t, h.Check())
	h.Free(must(t, h, 8))
	require.True(t, h.retireAll())
	require.Zero(t, h.hdr.runs[h.tiny.class])
	require.NoError(t, h.Check())
}

// TestTinyFirst: the first tinyFirst blocks are of the next class.
func TestTinyFirst(t *testing.T) {
	h := fresh(t, 8<<20, nil)
	for range tinyFirst {
		require.Equal(t, 16, h.Usable(must(t, h, 8)))
	}
	require.Zero(t, h.hdr.runs[h.tiny.class])
	require.Equal(t, tinySize, h.Usable(must(t, h, 8)))
	require.EqualValues(t, 1, h.hdr.runs[h.tiny.class])
}

// TestTinyRealloc: a tiny block keeps its bytes from one kind of place to another.
func TestTinyRealloc(t *testing.T) {
	h, bs := tinyHeap(t, 300)
	for i, b := range bs {
		if len(b) == 0 {
			continue
		}
		same, err := h.Realloc(b, tinySize)
		require.NoError(t, err)
		require.Equal(t, addrOf(b), addrOf(same))
		less, err := h.Realloc(same, 1)
		require.NoError(t, err)
		require.Equal(t, addrOf(b), addrOf(less))
		for _, size := range []int{9, 100, 5000, 8} {
			less, err = h.Realloc(less, size)
			require.NoError(t, err)
			require.Equal(t, byte(i), less[0])
		}
		h.Free(less)
	}
	require.NoError(t, h.Check())
	zero, err := h.Calloc(2, 4)
	require.NoError(t, err)
	require.NoError(t, filled(zero, 0))
	for _, align := range []int{1, 8, 16, 64} {
		b, err := h.MallocAligned(5, align)
		require.NoError(t, err)
		require.Zero(t, int(addrOf(b))%align)
		h.Free(b)
	}
	require.NoError(t, h.Check())
}

// TestTinyRows: tiny blocks are freed among others in no order, and in long rows, when Free takes notes
// or lists what is to be joined.
func TestTinyRows(t *testing.T) {
	for _, sizes := range [][]int{{8, 100, 700}, {8}, {8, 16, 5000}, {3, 64}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			h := fresh(t, 64<<20, nil)
			rng := rand.New(rand.NewPCG(3, 4))
			for range 3 {
				var bs [][]byte
				for i := range 20_000 {
					bs = append(bs, must(t, h, sizes[i%len(sizes)]))
				}
				rng.Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
				for i, b := range bs {
					h.Free(b)
					if i%997 == 0 {
						require.NoError(t, h.Check())
						require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)
					}
				}
				for _, b := range bs {
					require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)
				}
				require.NoError(t, h.Check())
			}
			h.Trim()
			require.Equal(t, h.first, h.top)
		})
	}
}

// TestTinyMemoryEnds: when there is no unit for another tiny run, blocks are of the next class, and
// when there is nothing, none.
func TestTinyMemoryEnds(t *testing.T) {
	h := fresh(t, 256<<10, nil)
	var bs [][]byte
	for {
		b, err := h.Malloc(8)
		if err != nil {
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			break
		}
		fill(b, byte(len(bs)))
		bs = append(bs, b)
	}
	require.Greater(t, len(bs)*tinySize, 200<<10)
	require.NoError(t, h.Check())
	for i, b := range bs {
		require.NoError(t, filled(b, byte(i)))
		h.Free(b)
	}
	must(t, h, 200<<10)
}

// TestNoTiny: heaps that see each call, one in a file and a Shared have no tiny blocks, whatever their
// options say, and neither has one whose classes have none.
func TestNoTiny(t *testing.T) {
	file := func() *arena.Region {
		r, err := arena.Reserve(8<<20, &arena.Options{Backing: arena.File, Path: filepath.Join(t.TempDir(), "heap")})
		require.NoError(t, err)
		t.Cleanup(func() { r.Close() })
		return r
	}()
	durable, err := New(file, &Options{Classes: []int{8, 16}})
	require.NoError(t, err)
	shared, err := NewShared(nil, &Options{Classes: []int{8, 16}})
	require.NoError(t, err)
	defer shared.Close()
	for name, c := range map[string]struct {
		a alloc.Allocator
		h *Heap
	}{
		"file": {durable, durable}, "shared": {shared, shared.h},
	} {
		b := must(t, c.a, 8)
		require.Zero(t, c.h.tiny.class, name)
		require.Equal(t, 16, alloc.Usable(c.a, b), name)
		c.a.Free(b)
	}
	require.NoError(t, durable.Close())
	again, err := Open(file, &Options{Classes: []int{8, 16}})
	require.NoError(t, err)
	require.Zero(t, again.tiny.class)
	require.NoError(t, again.Close())
	for name, o := range map[string]*Options{
		"zeroes": {ZeroOnFree: true}, "reports": {Sink: func(alloc.Event) {}}, "traces": {ProfileRate: 1},
		"checked": {Mode: Checked}, "classes": {Classes: []int{16}},
	} {
		h := fresh(t, 8<<20, o)
		must(t, h, 8)
		require.Zero(t, h.tiny.class, name)
	}
	_, err = New(nil, &Options{Classes: []int{16, 8}})
	require.ErrorIs(t, err, alloc.ErrSize)
}

// TestTinyDamage: no flipped bit of the row or the kind of a tiny run goes unnoticed by Check, and a
// block is not freed by them.
func TestTinyDamage(t *testing.T) {
	for bit := range 64 + 16 {
		h, bs := tinyHeap(t, 400)
		for _, b := range bs[130:140] {
			h.Free(b)
		}
		u := (addrOf(bs[130]) - addrOf(h.mem)) >> unitShift
		if bit < 64 {
			h.units[u] ^= 1 << bit
		} else {
			h.kinds[u] ^= 1 << (bit - 64)
		}
		live := h.mallocs - h.frees
		err := alloc.Try(func() { h.Free(bs[150]) })
		require.Error(t, err, "bit %d", bit)
		require.Equal(t, live, h.mallocs-h.frees, "bit %d", bit)
		require.ErrorIs(t, h.Check(), alloc.ErrCorrupt, "bit %d", bit)
	}
}

// TestTinyTables: Check knows each law of the table and the list of tiny runs.
func TestTinyTables(t *testing.T) {
	for name, damage := range map[string]func(h *Heap, r *tinyRun){
		"a live slot more":   func(h *Heap, r *tinyRun) { r.live[0] |= 1 << 5 },
		"one less":           func(h *Heap, r *tinyRun) { r.live[1] &^= 1 << 5 },
		"another unit":       func(h *Heap, r *tinyRun) { r.run++ },
		"off the list":       func(h *Heap, r *tinyRun) { r.listed = false },
		"previous":           func(h *Heap, r *tinyRun) { r.prev = 3 },
		"a circle":           func(h *Heap, r *tinyRun) { r.next = h.tiny.first },
		"last":               func(h *Heap, r *tinyRun) { h.tiny.last = h.tiny.current },
		"no list":            func(h *Heap, r *tinyRun) { h.tiny.first = 0 },
		"no entry of that":   func(h *Heap, r *tinyRun) { r.next = 1000 },
		"a spare one in use": func(h *Heap, r *tinyRun) { h.tiny.at(uint64(h.tiny.spare)).run = r.run },
		"current and listed": func(h *Heap, r *tinyRun) { h.tiny.at(uint64(h.tiny.current)).listed = true },
		"live and at hand":   func(h *Heap, r *tinyRun) { h.classes[h.tiny.class].avail = ^uint64(0) },
		"at hand of another": func(h *Heap, r *tinyRun) { h.classes[h.tiny.class].live = &r.live[0] },
		"an empty one stays": func(h *Heap, r *tinyRun) { h.frees += uint64(r.numLive()); r.live = [2]uint64{} },
		"a full one is there": func(h *Heap, r *tinyRun) {
			h.mallocs += uint64(tinySlots - r.numLive())
			r.live = [2]uint64{^uint64(0), ^uint64(0)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, bs := tinyHeap(t, 4*tinySlots+10)
			for _, b := range bs[130:140] {
				h.Free(b)
			}
			require.NoError(t, h.Check())
			damage(h, h.tiny.at(*h.row(uint64((addrOf(bs[130]) - addrOf(h.mem)) >> unitShift))))
			require.ErrorIs(t, h.Check(), alloc.ErrCorrupt)
		})
	}
}

// TestTinyCompact: Compact leaves tiny blocks where they are.
func TestTinyCompact(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, nil)
	rng := rand.New(rand.NewPCG(5, 6))
	var tiny, other [][]byte
	for i := range 40_000 {
		if b := must(t, h, 1+rng.IntN(200)); isTinyBlock(h, b) || i%8 == 0 {
			fill(b, byte(i))
			other = append(other, b)
		} else {
			h.Free(b)
		}
		tiny = append(tiny, must(t, h, 8))
		fill(tiny[i], byte(i))
	}
	_, err := h.Compact(64<<20, func(from, to []byte) bool {
		if isTinyBlock(h, from) || isTinyBlock(h, to) {
			t.Errorf("a tiny block moves")
		}
		return false
	})
	require.NoError(t, err)
	require.NoError(t, h.Check())
	for i, b := range tiny {
		require.NoError(t, filled(b, byte(i)))
		h.Free(b)
	}
	for _, b := range other {
		h.Free(b)
	}
}
