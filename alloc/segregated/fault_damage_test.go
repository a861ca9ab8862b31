package segregated

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

func TestFaultDamage(t *testing.T) {
	t.Run("A30_bit_flips", faultBitFlips)
	t.Run("A30_where_a_span_starts", func(t *testing.T) {
		// Nothing but its place says where a small used span starts behind another. If a bit of
		// that flips, the free of its block is refused.
		for _, bit := range []uint64{1, 2} {
			h := fresh(t, 4<<20, &Options{Classes: []int{}})
			must(t, h, 600)
			b := must(t, h, 600)
			must(t, h, 600)
			g := uint64(addrOf(b)-addrOf(h.mem)) >> granuleShift
			*h.rowOf(g) ^= bit << (g & cellMask)
			require.NoError(t, h.look())
			require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrInvalidFree)
			*h.rowOf(g) ^= bit << (g & cellMask)
			h.Free(b)
		}
	})
	t.Run("A30_header_of_a_file", func(t *testing.T) {
		// Root goes by what the heap knows. A damaged header is not signed as that of a closed heap.
		for _, flip := range []func(d *header){
			func(d *header) { d.root ^= 1 << 6 }, func(d *header) { d.highest ^= 1 << 20 },
			func(d *header) { d.dirty ^= 1 }, func(d *header) { d.classes ^= 4 }, func(d *header) { d.seed ^= 1 },
		} {
			path := filepath.Join(t.TempDir(), "heap")
			r := fileRegion(t, path, 8<<20)
			h, err := New(r, nil)
			require.NoError(t, err)
			b := must(t, h, 100)
			h.SetRoot(b)
			flip(h.hdr)
			require.Equal(t, addrOf(b), addrOf(h.Root()))
			require.ErrorIs(t, h.Close(), alloc.ErrCorrupt)
			require.NoError(t, r.Close())
		}
	})
	t.Run("A30_growth", func(t *testing.T) {
		// A heap whose header is damaged does not grow.
		for _, flip := range []func(d *header){
			func(d *header) { d.kindsEnd ^= 1 << 12 }, func(d *header) { d.unitsEnd ^= 1 << 12 }, func(d *header) { d.commit ^= 1 << 8 },
			func(d *header) { d.dirty ^= 1 << 8 }, func(d *header) { d.root ^= 1 }, func(d *header) { d.layout ^= 1 },
		} {
			h := fresh(t, 4<<20, nil)
			must(t, h, 100)
			flip(h.hdr)
			_, err := h.Malloc(1 << 20)
			require.ErrorIs(t, err, alloc.ErrCorrupt)
			_, err = h.Malloc(16)
			require.ErrorIs(t, err, alloc.ErrCorrupt)
		}
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

// faultBitFlips flips every bit of the header, of the rows and kinds, and of the links in the
// data, one at a time. Check finds each that says something. The next calls, without Check before,
// notice it or go on as if nothing had happened, and do not panic with anything but a fault, or loop.
// What has been noticed ends the heap.
func faultBitFlips(t *testing.T) {
	step := 17
	if *long {
		step = 1
	}
	proto, _ := damaged(t)
	require.NoError(t, proto.Check())
	bits, silences := proto.bits(), proto.silences()
	silent := map[string]int{}
	for i, at := range bits {
		if raceEnabled && i%11 != 0 {
			continue // which takes ten times as long
		}
		proto.mem[at/8] ^= 1 << (at % 8)
		found := proto.look() != nil
		proto.mem[at/8] ^= 1 << (at % 8)
		if s := silences[at/64*8]; !found {
			silent[s.why]++
			require.NotZero(t, s.bits>>(at%64)&1, "Check misses bit %d of word %#x", at%64, at/64*8)
		}
		if i%step != 0 {
			continue
		}
		if found {
			h, bs := damaged(t)
			h.mem[at/8] ^= 1 << (at % 8)
			require.ErrorIs(t, h.Check(), alloc.ErrCorrupt)
			ended(t, h, bs)
		}
		h, bs := damaged(t)
		h.mem[at/8] ^= 1 << (at % 8)
		if h.exercise(t, bs, at/8 < headerSize) {
			ended(t, h, bs)
		} else if h.Check() != nil {
			ended(t, h, bs)
		}
	}
	require.NoError(t, proto.Check())
	t.Logf("%d flips, of which Check does not find %v", len(bits), silent)
}

// ended checks that h refuses all further work.
func ended(t *testing.T, h *Heap, bs [][]byte) {
	t.Helper()
	for name, call := range verbs(h, bs[0]) {
		require.ErrorIs(t, call(), alloc.ErrCorrupt, name)
	}
	require.ErrorIs(t, h.Check(), alloc.ErrCorrupt)
}

// damaged returns a small heap, to be damaged, and its blocks, each full of one byte: with runs of
// one unit and of more that are current, partial and full, small free spans, and large ones of which
// pages have been given back or not.
func damaged(t *testing.T) (h *Heap, live [][]byte) {
	t.Helper()
	h, err := New(arena.FromBytes(make([]byte, 160<<10)), nil)
	require.NoError(t, err)
	var bs [][]byte
	for i := range 20 {
		bs = append(bs, must(t, h, 64), must(t, h, 100+i*32))
	}
	for range 160 {
		bs = append(bs, must(t, h, 16), must(t, h, 64))
	}
	for _, size := range []int{5000, 9000, 12000, 40000, 1100} {
		bs = append(bs, must(t, h, size))
	}
	for i, b := range bs {
		fill(b, byte(i))
		if i%3 != 0 && len(b) != 40000 || len(b) < 20 && i%2 == 0 {
			live = append(live, b)
		} else {
			h.Free(b)
		}
	}
	h.Trim()
	for i := 0; i < len(live); i += 90 {
		h.Free(live[i])
		live = append(live[:i], live[i+1:]...)
	}
	h.Free(must(t, h, 9000))
	h.flushQuick()
	h.SetRoot(live[3])
	return h, live
}

// bits returns the numbers of the bits of metadata that say something, and of some that do not.
func (h *Heap) bits() []int {
	var out []int
	add := func(from, to uint64) {
		for i := from * 8; i < to*8; i++ {
			out = append(out, int(i))
		}
	}
	add(0, uint64(binary.Size(header{})))
	t := h.tables()
	kinds, units := h.usedTables()
	first := h.first >> granuleBits
	add(t.kinds+first*kindSize, t.kinds+kinds*kindSize)
	add(t.units+first*unitRow, t.units+units*unitRow)
	for p := range h.pieces() {
		at := p.g << granuleShift
		switch {
		case p.class != 0 && h.classes[p.class].units == 1 && h.units[p.g>>granuleBits] != ^uint64(0) && uintptr(p.g>>granuleBits) != h.classes[p.class].cur:
			add(at+unitSize-granule, at+unitSize-granule+8)
		case p.class == 0 && !p.used && !p.quick && p.n < infoMin:
			add(at, at+16)
		}
	}
	return out
}

// silence is why Check cannot find the flips of some bits of a word.
type silence struct {
	why  string
	bits uint64
}

const (
	noSum   = "the sum of the header, which an open heap has none of"
	noPrev  = "what would be before the first partial run"
	mayIdle = "which pages of a free span may be given back: others of it may, too"
	noPlace = "where one small used span ends and the next begins, which nothing else says"
)

// silences returns the words of which Check does not find all flips, by their offset.
func (h *Heap) silences() map[int]silence {
	t := h.tables()
	row := func(u uint64) int { return int(t.units + u*unitRow) }
	sum, _ := reflect.TypeFor[header]().FieldByName("sum")
	out := map[int]silence{int(sum.Offset): {noSum, ^uint64(0)}}
	for ci, run := range h.hdr.partial {
		if run == 0 {
			continue
		}
		at := row(uint64(run) + 1)
		if h.classes[ci].units == 1 {
			at = int(run)<<unitShift + unitSize - granule
		}
		out[at] = silence{noPrev, ^uint64(runMask)}
	}
	var prev piece
	for p := range h.pieces() {
		switch {
		case p.class != 0:
		case p.used && p.n < tagMin && prev.used && prev.n < tagMin:
			at := row(p.g >> granuleBits)
			out[at] = silence{noPlace, out[at].bits | placeMask<<(p.g&cellMask)}
		case !p.used && !p.quick && p.n >= infoMin:
			at := row(p.g>>granuleBits + infoRows) // the last of a spanInfo
			out[at] = silence{mayIdle, ^uint64(0)}
		}
		prev = p
	}
	return out
}

// exercise uses a damaged heap and reports whether it noticed. If it is the header that is damaged,
// other blocks keep their bytes, and those of Calloc are zero.
func (h *Heap) exercise(t *testing.T, live [][]byte, header bool) bool {
	t.Helper()
	h.Stats()
	for range h.Blocks() {
	}
	_ = h.Root()
	err := alloc.Try(func() {
		var bs [][]byte
		for i := range 60 {
			if b, err := h.Malloc(i * 37 % 3000); err == nil {
				bs = append(bs, b)
				set(b, 0xEE)
			}
		}
		for i := range 12 {
			b, err := h.Calloc(1, 16<<i)
			if err != nil {
				continue
			}
			bs = append(bs, b)
			if header {
				require.NoError(t, filled(b, 0))
			}
		}
		for _, b := range bs {
			h.Free(b)
		}
		h.Trim()
	})
	var re runtime.Error
	require.False(t, errors.As(err, &re), "%v", err)
	for _, b := range live {
		if header && len(b) != 0 {
			require.NoError(t, filled(b, b[0]))
		}
	}
	return h.err != nil
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
