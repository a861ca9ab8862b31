package segregated

import (
	"fmt"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestDamagedKindAtTheStart: a kind that says that its run begins up to 63 units earlier
// leads Free before the rows of the data, where memory that is only reserved cannot be
// read; what lies there is committed, whatever the size of the region.
func TestDamagedKindAtTheStart(t *testing.T) {
	sizes := []int{512 << 10, 2 << 20, 3 << 20, 64 << 20, 200<<20 + 1<<14, 1 << 30}
	inSparse(t, sizes, func(t *testing.T, r *arena.Region) {
		h, err := New(r, nil)
		require.NoError(t, err)
		heat(t, h, 64)
		for h.top-h.first < 128*unitGranules {
			must(t, h, 64)
		}
		ci := uint16(h.classOf[64/granule])
		first := h.first >> granuleBits
		for u := first; u < first+runIndex; u++ {
			was := h.kinds[u]
			for i := range uint16(runIndex + 1) {
				h.kinds[u] = ci<<8 | i
				onlyFaults(t, func() { h.Free(h.mem[u<<unitShift:][:64:64]) })
			}
			h.kinds[u] = was
		}
	})
}

// TestDamagedKindOfShared: the same of a Shared, whose words lie behind the rows.
func TestDamagedKindOfShared(t *testing.T) {
	sizes := []int{1 << 20, 3 << 19, 2 << 20, 3 << 20, 64 << 20}
	inSparse(t, sizes, func(t *testing.T, r *arena.Region) {
		s, err := NewShared(r, nil)
		require.NoError(t, err)
		must(t, s, 40)
		for u := s.h.first >> granuleBits; u < s.h.first>>granuleBits+8; u++ {
			was := s.h.kinds[u]
			for _, k := range []uint16{runIndex, 1<<8 | runIndex, maxClasses<<8 | runIndex, 5 << 8} {
				s.h.kinds[u] = k
				b := s.h.mem[u<<unitShift:][:16:16]
				onlyFaults(t, func() { s.Free(b) })
				onlyFaults(t, func() { _, _ = s.Realloc(b, 40) })
			}
			s.h.kinds[u] = was
		}
	})
}

// TestDamagedStart: what lies before the first unit of the data is not read in search of a span.
func TestDamagedStart(t *testing.T) {
	inSparse(t, []int{1 << 20, 64 << 20, 1 << 30}, func(t *testing.T, r *arena.Region) {
		h, err := New(r, &Options{Classes: []int{}})
		require.NoError(t, err)
		b := must(t, h, 1000)
		row := h.rowOf(h.first)
		was := *row
		*row = 0
		onlyFaults(t, func() { h.Free(b[16:]) })
		onlyFaults(t, func() { h.Usable(b[16:]) })
		onlyFaults(t, func() { _, _ = h.At(offset(h.first<<granuleShift + 16)) })
		*row = was
		h.Free(b)
		require.NoError(t, h.Close())
	})
}

// TestDamagedBounds: the first granule and the top are those that the heap knows, whatever the header
// says of them.
func TestDamagedBounds(t *testing.T) {
	for _, mode := range []Mode{Fast, Checked} {
		inSparse(t, []int{1 << 20, 64 << 20, 1 << 30}, func(t *testing.T, r *arena.Region) {
			h, err := New(r, &Options{Mode: mode})
			require.NoError(t, err)
			b := must(t, h, 1000)
			first, top := h.hdr.first, h.hdr.top
			for _, bad := range [][2]uint64{{0, top}, {first, h.hdr.end - 64}, {first, 1 << 60}, {first, first}} {
				h.hdr.first, h.hdr.top = bad[0], bad[1]
				_, err := h.At(offset(uint64(len(h.mem)) / 2))
				require.Error(t, err)
				require.Equal(t, 1, h.Stats().LiveBlocks)
				used := 0
				for b := range h.Blocks() {
					if b.Used {
						used++
					}
				}
				require.Equal(t, 1, used)
				onlyFaults(t, func() { h.Free(b[:0:0]) })
				require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)
				h.hdr.first, h.hdr.top = first, top
				b = must(t, h, 1000)
				top = h.hdr.top
			}
			h.hdr.first = 0
			require.ErrorIs(t, h.Check(), alloc.ErrCorrupt)
		})
	}
}

// inSparse runs f in regions of these sizes, where memory that is not committed cannot be read.
func inSparse(t *testing.T, sizes []int, f func(t *testing.T, r *arena.Region)) {
	for _, size := range sizes {
		t.Run(fmt.Sprintf("region=%d", size), func(t *testing.T) {
			r, err := arena.Reserve(size, &arena.Options{Backing: arena.Sparse})
			if err != nil {
				t.Skip(err)
			}
			defer r.Close()
			f(t, r)
		})
	}
}

// onlyFaults calls f, and fails if it panics with anything but a fault, as it does if it touches
// memory that cannot be read.
func onlyFaults(t *testing.T, f func()) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			_, ok := v.(*alloc.Fault)
			require.True(t, ok, "%v", v)
		}
	}()
	f()
}

// TestCommittedBySmallShared: a Shared needs the row of unit 0, and counts its page once,
// also where the rows of the data lie in it.
func TestCommittedBySmallShared(t *testing.T) {
	for _, size := range []int{256 << 10, 1 << 20, 64 << 20, 1 << 30} {
		r, err := arena.Reserve(size, nil)
		require.NoError(t, err)
		s, err := NewShared(r, nil)
		require.NoError(t, err)
		require.EqualValues(t, r.Stats().Committed, s.h.committed, "region of %d", size)
		require.NoError(t, s.Close())
		require.NoError(t, r.Close())
	}
}

// TestFreeOfNoSlot: where a run ends behind its last slot there is none to free or resize, also when
// its row lacks the bits that say so, or a kind leads to a row that is no run's.
func TestFreeOfNoSlot(t *testing.T) {
	h := fresh(t, 4<<20, nil)
	heat(t, h, 80)
	c := &h.classes[h.classOf[80/granule]]
	slots := c.numSlots()
	require.NotZero(t, c.units*unitSize-uintptr(slots)*c.size, "something is left behind the last slot")
	run := c.cur
	past := h.mem[run<<unitShift+uintptr(slots)*c.size:][:8:8]
	unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(past) })
	unchanged(t, h, alloc.ErrInvalidFree, func() { h.Realloc(past, 80) })
	for _, row := range []uint64{0, h.units[run] & c.valid} {
		was, frees := h.units[run], h.frees
		h.units[run] = row
		require.ErrorIs(t, alloc.Try(func() { h.Free(past) }), alloc.ErrInvalidFree, "row %#x", row)
		require.ErrorIs(t, alloc.Try(func() { h.Realloc(past, 80) }), alloc.ErrInvalidFree, "row %#x", row)
		require.Equal(t, row, h.units[run])
		require.Equal(t, frees, h.frees)
		h.units[run] = was
	}
}

// TestMallocOfNoSlot: a damaged row makes Malloc hand out no slot behind the last one of a
// run, be it the current one or one of those with room.
func TestMallocOfNoSlot(t *testing.T) {
	for _, current := range []bool{true, false} {
		h := fresh(t, 4<<20, nil)
		heat(t, h, 80)
		c := &h.classes[h.classOf[80/granule]]
		run := c.cur
		for run == c.cur && !current {
			must(t, h, 80)
		}
		end := uint64(run<<unitShift) + uint64(c.numSlots())*uint64(c.size)
		if !current { // a slot of it is freed, so that its turn comes
			h.Free(h.mem[run<<unitShift:][:80:80])
		}
		h.units[run] &= c.valid
		for range 4 * c.numSlots() {
			off := uint64(addrOf(must(t, h, 80)) - addrOf(h.mem))
			require.False(t, off >= end && off < uint64((run+c.units)<<unitShift), "%#x lies behind the slots", off)
		}
		h.fail("broken on purpose") // so that the end of the test does not check
	}
}

// TestDamagedSize: Free and Realloc do not take the size of a large span from a row that is
// not its own, or says what it cannot have.
func TestDamagedSize(t *testing.T) {
	for name, damage := range map[string]func(h *Heap, tag *uint64, kind *uint16){
		"start":        func(_ *Heap, tag *uint64, _ *uint16) { *tag ^= 1 },
		"none":         func(_ *Heap, tag *uint64, _ *uint16) { *tag &= granuleMask },
		"small":        func(_ *Heap, tag *uint64, _ *uint16) { *tag = tagOf(*tag&granuleMask, tagMin-1) },
		"past the top": func(h *Heap, tag *uint64, _ *uint16) { *tag = tagOf(*tag&granuleMask, h.top-h.first) },
		"just past it": func(h *Heap, tag *uint64, _ *uint16) {
			*tag = tagOf(*tag&granuleMask, h.quick.part) // which a bucket would take
		},
		"kind": func(_ *Heap, _ *uint64, kind *uint16) { *kind = kindLast },
	} {
		for _, call := range []func(h *Heap, b []byte) error{
			func(h *Heap, b []byte) error { h.Free(b); return nil },
			func(h *Heap, b []byte) error { _, err := h.Realloc(b, 8192); return err },
			func(h *Heap, b []byte) error { _, err := h.Realloc(b, int(h.top-h.first)<<granuleShift); return err },
		} {
			for _, size := range []int{2400, 4000} { // of which only the second is large when it is free
				h := fresh(t, 4<<20, &Options{Classes: []int{}})
				must(t, h, size)
				b := must(t, h, size)
				must(t, h, size)
				u := uint64(at(h, b))>>unitShift + 1
				damage(h, h.row(u), h.kind(u))
				var err error
				if fault := alloc.Try(func() { err = call(h, b) }); fault != nil {
					err = fault
				}
				require.ErrorIs(t, err, alloc.ErrCorrupt, "%s of %d bytes", name, size)
				require.Zero(t, h.quick.total)
			}
		}
	}
}

// TestMarksInsideSpan: Check finds a mark under a used span whose size a row says, also in the
// unit in which it ends.
func TestMarksInsideSpan(t *testing.T) {
	for _, n := range []uint64{tagMin, 150, largeMin - 1, largeMin, 260} {
		h := fresh(t, 4<<20, &Options{Classes: []int{}})
		must(t, h, 512)
		b := must(t, h, int(n)*granule)
		must(t, h, 4800)
		start := uint64(at(h, b)) >> granuleShift
		end := start + n
		require.Less(t, start>>granuleBits+1, end>>granuleBits)
		for g := start>>granuleBits<<granuleBits + unitGranules; g < end&^placeMask; g++ {
			*h.rowOf(g) ^= 1 << (g & granuleMask)
			require.Error(t, h.look(), "%d granules, bit of granule %d", n, g-start)
			*h.rowOf(g) ^= 1 << (g & granuleMask)
		}
		require.NoError(t, h.Check())
	}
}

// TestDamagedPartialRun: of a run that is on the list of those with room, and has none by
// its row, no slot is handed out, nor what lies behind it.
func TestDamagedPartialRun(t *testing.T) {
	for name, malloc := range map[string]func(h *Heap) ([]byte, error){
		"malloc":  func(h *Heap) ([]byte, error) { return h.Malloc(64) },
		"calloc":  func(h *Heap) ([]byte, error) { return h.Calloc(1, 64) },
		"realloc": func(h *Heap) ([]byte, error) { return h.Realloc(nil, 64) },
	} {
		t.Run(name, func(t *testing.T) {
			h := fresh(t, 8<<20, &Options{Classes: []int{64}})
			live := map[uintptr]bool{}
			for h.hdr.runs[1] < 3 {
				live[addrOf(must(t, h, 64))] = true
			}
			for p := range h.pieces() {
				if run := p.g >> granuleBits; p.class == 1 && uintptr(run) != h.classes[1].cur {
					h.Free(h.at(p.g, 64))
					require.EqualValues(t, run, h.hdr.partial[1])
					h.units[run] = ^uint64(0)
					break
				}
			}
			var err error
			for range 100 {
				var b []byte
				if b, err = malloc(h); err != nil {
					break
				}
				require.False(t, live[addrOf(b)], "a live block is handed out")
				live[addrOf(b)] = true
			}
			require.ErrorIs(t, err, alloc.ErrCorrupt)
		})
	}
}

// TestDamagedTop: where the header says that the top is lower than it is, no page of a live
// block is given back.
func TestDamagedTop(t *testing.T) {
	for name, f := range map[string]func(h *Heap){
		"trim":  func(h *Heap) { h.Trim() },
		"sweep": func(h *Heap) { h.credit = 1 << 20; h.sweep(sweepMin); h.sweep(sweepMin) },
		"held":  func(h *Heap) { h.heldTo = 1; h.giveHeld(allPages) },
	} {
		t.Run(name, func(t *testing.T) {
			h := freshIn(t, 128<<20, &arena.Options{}, nil)
			must(t, h, 100_000)
			b := must(t, h, hugePages*h.region.PageSize())
			fill(b, 1)
			h.hdr.top = h.first + 1<<10
			f(h)
			require.NoError(t, filled(b, 1))
			h.fail("broken on purpose") // so that the end of the test does not check
		})
	}
}
