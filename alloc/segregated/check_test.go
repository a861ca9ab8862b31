package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCheckFinds breaks each law and expects Check to name it.
func TestCheckFinds(t *testing.T) {
	// One heap: runs of 64 bytes, used and free spans of all kinds.
	build := func(t *testing.T) (h *Heap, small, large, run uint64) {
		h = fresh(t, 8<<20, &Options{Classes: []int{64}})
		must(t, h, 2000)
		a := must(t, h, 2000)
		must(t, h, 2000)
		var slots [][]byte
		for range 300 {
			slots = append(slots, must(t, h, 64))
		}
		must(t, h, 16000)
		b := must(t, h, 40000)
		must(t, h, 30000)
		for _, s := range slots[:200] {
			h.Free(s)
		}
		h.Free(a)
		h.Free(b)
		h.flushQuick()
		require.NoError(t, h.Check())
		off := func(b []byte) uint64 { return uint64(addrOf(b)-addrOf(h.mem)) >> granuleShift }
		for p := range h.pieces() {
			if p.class == 0 && !p.used && p.n < largeMin {
				small = p.g
			}
		}
		require.NotZero(t, small)
		return h, small, off(b), uint64(h.hdr.partial[1])
	}
	for _, tc := range []struct {
		law, name string
		harm      func(h *Heap, small, large, run uint64)
	}{
		{"L3", "lost mark of the top", func(h *Heap, _, _, _ uint64) { clearMark(h.rowOf(h.hdr.top), h.hdr.top) }},
		{"L1", "run in the middle of nothing", func(h *Heap, small, _, _ uint64) { h.kinds[h.hdr.first>>granuleBits] = 1<<8 | 3 }},
		{"L2", "used span made free", func(h *Heap, _, large, _ uint64) {
			after := large + 40000/granule
			*h.rowOf(after) &^= liveBit << (after & cellMask)
		}},
		{"L3", "stray bit under a span", func(h *Heap, _, large, _ uint64) { h.units[large>>granuleBits+8] |= 4 }},
		{"L3", "size in the last row", func(h *Heap, _, large, _ uint64) { h.units[(large+40000/granule)>>granuleBits-1] += unitGranules }},
		{"L3", "gap outside of its span", func(h *Heap, _, large, _ uint64) { h.info(large).gone = pagesOf(gap{256, 2048}) }},
		{"L4", "third row of a run", func(h *Heap, _, _, run uint64) { h.units[run+2] = 1 }},
		{"L7", "links of a run", func(h *Heap, _, _, run uint64) { h.units[run+1] = run + 1 }},
		{"L5", "link to nowhere", func(h *Heap, small, _, _ uint64) { h.smallLinks(small).next = 12345 }},
		{"L5", "previous link", func(h *Heap, _, large, _ uint64) { h.info(large).prev = large }},
		{"L5", "bin forgotten", func(h *Heap, _, large, _ uint64) {
			bin := binOf(40000 / granule)
			h.hdr.bins[bin] = 0
			h.hdr.binSet[bin/64] &^= 1 << (bin % 64)
		}},
		{"L6", "word of the bins", func(h *Heap, _, _, _ uint64) { h.hdr.wordSet ^= 1 << 5 }},
		{"L6", "bit of an empty bin", func(h *Heap, _, _, _ uint64) { h.hdr.binSet[0] |= 2 }},
		{"L7", "partial run forgotten", func(h *Heap, _, _, run uint64) { h.hdr.partial[1] = 0 }},
		{"L7", "last partial run forgotten", func(h *Heap, _, _, run uint64) { h.lastPartial[1] = 0 }},
		{"L7", "partial list of another class", func(h *Heap, _, _, run uint64) { h.hdr.partial[2] = uint32(run) }},
		{"L8", "slot lost", func(h *Heap, _, _, run uint64) { h.units[run] ^= 1 }},
		{"L8", "free spans counted wrong", func(h *Heap, _, _, _ uint64) { h.freeSpans++ }},
		{"L8", "runs counted wrong", func(h *Heap, _, _, _ uint64) { h.hdr.runs[1]++ }},
		{"L9", "magic", func(h *Heap, _, _, _ uint64) { h.hdr.magic++ }},
		{"L9", "top past the dirty end", func(h *Heap, _, _, _ uint64) { h.hdr.top = h.hdr.dirty + 1 }},
		{"L9", "first granule", func(h *Heap, _, _, _ uint64) { h.hdr.first-- }},
	} {
		t.Run(tc.law+"_"+tc.name, func(t *testing.T) {
			h, small, large, run := build(t)
			tc.harm(h, small, large, run)
			require.ErrorContains(t, h.Check(), tc.law+":")
			h.fail("broken on purpose") // so that the end of the test does not check
		})
	}
}
