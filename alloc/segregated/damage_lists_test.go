package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestDamagedPartialBeforeData: a head of partial runs that lies before the data, where kinds are only
// reserved, is not looked at.
func TestDamagedPartialBeforeData(t *testing.T) {
	inSparse(t, []int{1 << 30}, func(t *testing.T, r *arena.Region) {
		h, err := New(r, &Options{Classes: []int{64}})
		require.NoError(t, err)
		heat(t, h, 64)
		h.hdr.partial[1] = 2
		for range 65 {
			onlyFaults(t, func() { _, err = h.Malloc(64) })
		}
		require.ErrorIs(t, err, alloc.ErrCorrupt)
	})
}

// TestDamagedPartialIsListed: a head of partial runs that is an empty run, which waits to be joined, is
// none: its slots would be handed out again when it is.
func TestDamagedPartialIsListed(t *testing.T) {
	h := fresh(t, 8<<20, &Options{Classes: []int{64}})
	var bs [][]byte
	for h.hdr.runs[1] < 4 {
		bs = append(bs, must(t, h, 64))
	}
	full := firstFull(h, 1)
	h.sweepAt = ^uint64(0)
	h.deferred.row = deferAfter // as after so many frees in a row
	for _, b := range bs {
		if uintptr(at(h, b))>>unitShift-full < h.classes[1].units {
			h.Free(b)
		}
	}
	require.Len(t, h.deferred.list, 1)
	h.hdr.partial[1] = uint32(full)
	var err error
	for range 200 {
		if _, err = h.Malloc(64); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, alloc.ErrCorrupt)
}

// firstFull returns the first run of class ci that is not current.
func firstFull(h *Heap, ci uint64) uintptr {
	for p := range h.pieces() {
		if run := uintptr(p.g >> granuleBits); p.class == ci && run != h.classes[ci].cur {
			return run
		}
	}
	return 0
}

// TestDamagedBinHead: a bin whose head is a free span of another size is damage, in both directions: the
// links of the one lie where the other has rows, or pages that may be gone.
func TestDamagedBinHead(t *testing.T) {
	for _, toLarge := range []bool{false, true} {
		h := fresh(t, 8<<20, &Options{Classes: []int{}})
		var small, large [2][]byte
		for i := range small {
			small[i] = must(t, h, 512)
			must(t, h, 64)
			large[i] = must(t, h, 100<<10)
			must(t, h, 64)
		}
		h.Free(small[0])
		h.Free(large[0])
		h.flushQuick()
		require.NoError(t, h.Check())
		g := func(b []byte) uint64 { return uint64(at(h, b)) >> granuleShift }
		binSmall, binLarge := binOf(512/granule), binOf(100<<10/granule)
		require.Equal(t, []uint64{g(small[0]), g(large[0])}, []uint64{h.hdr.bins[binSmall], h.hdr.bins[binLarge]})
		if toLarge {
			h.hdr.bins[binSmall] = g(large[0])
			onlyFaults(t, func() { h.Free(small[1]) })
		} else {
			h.hdr.bins[binLarge] = g(small[0])
			onlyFaults(t, func() { h.Free(large[1]) })
		}
		h.flushQuick()
		require.ErrorIs(t, h.err, alloc.ErrCorrupt)
	}
}

// TestDamagedLastMark: what lies behind the rows of a region that is full is not taken for rows, if the mark
// that ends the last span is gone.
func TestDamagedLastMark(t *testing.T) {
	h := fresh(t, 1<<20, &Options{Classes: []int{}})
	first := must(t, h, 1024)
	first[7] = 0x40 // a user's word, which lies where a row would
	var last []byte
	for size := 1024; size >= 64; {
		b, err := h.Malloc(size)
		if err != nil {
			size -= granule
			continue
		}
		last = b
	}
	require.Equal(t, h.endGranule(), h.top)
	*h.rowOf(h.top) &^= markMask << (h.top & cellMask)
	require.Zero(t, h.spanSize(uint64(at(h, last))>>granuleShift))
	onlyFaults(t, func() { _, err := h.Realloc(last, 9000); require.Error(t, err) })
}

// TestCallocOfDamaged: Calloc refuses a block whose size cannot be known, as it does not know what to
// clear.
func TestCallocOfDamaged(t *testing.T) {
	h := fresh(t, 4<<20, &Options{Classes: []int{}})
	must(t, h, 3000)
	b := must(t, h, 5008)
	fill(b, 1)
	must(t, h, 3000)
	h.Free(b)
	h.info(uint64(at(h, b)) >> granuleShift).tag = 0
	_, err := h.Calloc(1, 5008)
	require.ErrorIs(t, err, alloc.ErrCorrupt)
}

// TestDamagedOwner: a run of a Shared that names an owner that there is not has none.
func TestDamagedOwner(t *testing.T) {
	for name, call := range map[string]func(s *Shared, b []byte){
		"free":    func(s *Shared, b []byte) { s.Free(b) },
		"usable":  func(s *Shared, b []byte) { s.Usable(b) },
		"realloc": func(s *Shared, b []byte) { _, _ = s.Realloc(b, 5000) },
		"stats":   func(s *Shared, b []byte) { s.Stats() },
		"blocks": func(s *Shared, b []byte) {
			for range s.Blocks() {
			}
		},
		"close": func(s *Shared, b []byte) { _ = s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := freshSharedUnchecked(t)
			b := must(t, s, 40)
			*s.bound(uintptr(at(s.h, b)) >> unitShift) ^= 1 << 12
			onlyFaults(t, func() { call(s, b) })
		})
	}
}

// TestDamagedClassOfShared: a kind that names a class that a Shared has not is a fault in all calls.
func TestDamagedClassOfShared(t *testing.T) {
	s := freshSharedUnchecked(t)
	b := must(t, s, 5000)
	s.h.kinds[uint64(at(s.h, b))>>unitShift] = 0x2225
	onlyFaults(t, func() { _, err := s.Realloc(b, 9000); require.ErrorIs(t, err, alloc.ErrCorrupt) })
	onlyFaults(t, func() { s.Usable(b) })
	onlyFaults(t, func() { s.Free(b) })
}

// freshSharedUnchecked returns a Shared whose leaks and damage nobody minds.
func freshSharedUnchecked(t *testing.T) *Shared {
	s, err := NewShared(nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		if !s.closed.Load() {
			_ = s.Close()
		}
	})
	return s
}
