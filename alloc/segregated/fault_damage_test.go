package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

func TestFaultDamage(t *testing.T) {
	t.Run("A30_bit_flips", func(t *testing.T) {
		// Every bit of the header and of the rows in use, one at a time: the
		// next calls or Check notice, or go on as if nothing had happened.
		// None may panic with anything but a fault, or loop.
		step := 17
		if *long {
			step = 1
		}
		proto := damaged(t)
		noticed := 0
		bits := proto.bits()
		for i := 0; i < len(bits); i += step {
			h := damaged(t)
			at := bits[i]
			h.mem[at/8] ^= 1 << (at % 8)
			if exercise(t, h) {
				noticed++
			}
		}
		require.Greater(t, noticed, len(bits)/step/2)
	})
	t.Run("A31_cycles", func(t *testing.T) {
		for _, to := range []int{0, 1, 2} { // to itself, to the next, to the one before
			h, free := withFreeSpans(t)
			*h.smallLinks(free[1]) = links{next: free[to], prev: free[to]}
			require.Error(t, h.Check())
			err := alloc.Try(func() {
				for range 100 {
					if _, err := h.Malloc(600); err != nil {
						panic(err)
					}
				}
			})
			require.ErrorIs(t, err, alloc.ErrCorrupt)
			_, err = h.Malloc(16)
			require.ErrorIs(t, err, alloc.ErrCorrupt)
			_, err = h.Calloc(1, 16)
			require.ErrorIs(t, err, alloc.ErrCorrupt)
			require.ErrorIs(t, h.Check(), alloc.ErrCorrupt)
		}
	})
}

// damaged returns a small heap with blocks of all kinds, to be damaged.
func damaged(t *testing.T) *Heap {
	t.Helper()
	h, err := New(arena.FromBytes(make([]byte, 256<<10)), nil)
	require.NoError(t, err)
	var bs [][]byte
	for i := range 40 {
		bs = append(bs, must(t, h, 64), must(t, h, 100+i*16))
	}
	bs = append(bs, must(t, h, 5000), must(t, h, 20000))
	for i := 0; i < len(bs); i += 3 {
		h.Free(bs[i])
	}
	h.flushQuick()
	return h
}

// bits returns the numbers of the bits of metadata that say something.
func (h *Heap) bits() []int {
	var out []int
	add := func(from, to uint64) {
		for i := from * 8; i < to*8; i++ {
			out = append(out, int(i))
		}
	}
	add(0, 96) // the scalars and the first words of the bins' set
	k, u := h.tables().kinds, h.tables().units
	first, last := h.hdr.first>>granuleBits, h.hdr.top>>granuleBits
	add(k+first*kindSize, k+last*kindSize)
	add(u+first*unitRow, u+last*unitRow)
	return out
}

// exercise uses a damaged heap and reports whether it noticed.
func exercise(t *testing.T, h *Heap) (noticed bool) {
	t.Helper()
	noticed = h.Check() != nil
	h.Stats()
	for range h.Blocks() {
	}
	err := alloc.Try(func() {
		var bs [][]byte
		for i := range 60 {
			if b, err := h.Malloc(i * 37 % 3000); err == nil {
				bs = append(bs, b)
			}
		}
		for _, b := range bs {
			h.Free(b)
		}
	})
	return noticed || err != nil || h.err != nil
}

// withFreeSpans returns a heap with three free spans of 600 bytes in one bin.
func withFreeSpans(t *testing.T) (*Heap, []uint64) {
	t.Helper()
	h := fresh(t, 4<<20, &Options{Classes: []int{}})
	var bs [][]byte
	for range 7 {
		bs = append(bs, must(t, h, 600))
	}
	var free []uint64
	for _, i := range []int{1, 3, 5} {
		free = append(free, uint64(addrOf(bs[i])-addrOf(h.mem))>>granuleShift)
		h.Free(bs[i])
	}
	h.flushQuick()
	return h, free
}

// TestFreeFindsDamage: a Free that finds damage while it puts a run on its class's list, or
// takes it off, says so, as one of a span does.
func TestFreeFindsDamage(t *testing.T) {
	for _, way := range []string{"fills a list", "empties a run"} {
		t.Run(way, func(t *testing.T) {
			h := fresh(t, 8<<20, nil)
			var bs [][]byte
			for range 8 * 64 {
				bs = append(bs, must(t, h, 64))
			}
			ci := uintptr(h.classOf[64/granule])
			runs := map[uintptr][][]byte{} // those that are full
			for _, b := range bs {
				off := uint64(addrOf(b) - addrOf(h.mem))
				if u := off >> unitShift; h.kinds[u] >= kindRun {
					if _, run, _ := h.slotOf(off); h.units[run] == ^uint64(0) && uintptr(run) != h.classes[ci].cur {
						runs[uintptr(run)] = append(runs[uintptr(run)], b)
					}
				}
			}
			require.Greater(t, len(runs), 2)
			var full [][][]byte
			for _, slots := range runs {
				full = append(full, slots)
				h.Free(slots[0])
				if len(full) == 2 {
					break
				}
			}
			_, last, _ := h.slotOf(uint64(addrOf(full[1][0]) - addrOf(h.mem)))
			b := full[1][1]
			if way == "fills a list" {
				h.kinds[last] = 0
				for run, slots := range runs {
					if h.units[run] == ^uint64(0) {
						b = slots[0]
					}
				}
			} else {
				for _, s := range full[1][2:] {
					h.Free(s)
				}
				h.units[last+1] = 1 << 32
			}
			require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrCorrupt)
			_, err := h.Malloc(64)
			require.ErrorIs(t, err, alloc.ErrCorrupt)
		})
	}
}
