package fit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// smallHeap is a heap with used and free blocks of several sizes, always the
// same for a kind.
func smallHeap(t testing.TB, open opener) (h fullHeap, live [][]byte) {
	t.Helper()
	r, err := arena.Reserve(4096, &arena.Options{Backing: arena.GoHeap})
	require.NoError(t, err)
	h, err = open(r, &Options{Limit: 1536, Seed: 42})
	require.NoError(t, err)
	var blocks [][]byte
	for i, n := range []int{24, 100, 40, 33, 64, 10, 150, 40} {
		b, err := h.Malloc(n)
		require.NoError(t, err)
		for k := range b {
			b[k] = byte(i + 1)
		}
		blocks = append(blocks, b)
	}
	for i, b := range blocks {
		if i == 1 || i == 3 || i == 4 || i == 6 {
			h.Free(b)
		} else {
			live = append(live, b)
		}
	}
	require.NoError(t, h.Check())
	return h, live
}

// isPayload reports whether region offset at belongs to the caller, or to
// nobody: payload of used blocks, what is between a free block's words, padding.
func isPayload(h fullHeap, at int) bool {
	switch h := h.(type) {
	case *Heap:
		if at < h.metaEnd {
			return false
		}
		if at < h.start || at >= h.end+wordSize {
			return true
		}
		for off := h.start; off < h.end; {
			t := h.tagAt(off)
			if at >= off && at < off+t.size {
				in := at - off
				if t.used {
					return in >= wordSize
				}
				links := in >= h.o.Header && in < h.o.Header+2*wordSize && !h.o.Implicit
				return in >= wordSize && !links && in < t.size-wordSize
			}
			off += t.size
		}
		return false // the epilogue
	case *Buddy:
		if at < h.at(h.end) {
			return false
		}
		if at < h.start || at >= h.end {
			return true
		}
		for off := h.start; off < h.end; {
			s := h.stateAt(off)
			if at < off+h.size(s.order) {
				if s.used {
					return at < off+h.usable(off, s)
				}
				return at >= off+2*wordSize
			}
			off += h.size(s.order)
		}
	}
	return false
}

// faultBitFlips flips every bit of a small heap's own words, and one of each
// other byte, one at a time. A flip in the
// heap's own words is found by Check, and by the operations that follow or by
// Check after them; a flip elsewhere is harmless. Nothing loops or crashes.
func faultBitFlips(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			probe, _ := smallHeap(t, open)
			payload := map[int]bool{}
			for at := range 1536 {
				payload[at] = isPayload(probe, at)
			}
			words := 0
			for at := range 1536 {
				if !payload[at] {
					words++
				}
				for bit := range 8 {
					if payload[at] && bit != at%8 {
						continue // one bit of each of the caller's bytes will do
					}
					flipAndCheck(t, open, at, bit, payload[at])
					flipAndWork(t, open, at, bit, payload[at])
				}
			}
			require.Greater(t, words, 100)
		})
	}
}

// flipAndCheck flips one bit and lets Check look.
func flipAndCheck(t *testing.T, open opener, at, bit int, payload bool) {
	t.Helper()
	h, _ := smallHeap(t, open)
	h.Region().Bytes()[at] ^= 1 << bit
	err := h.Check()
	if payload {
		require.NoError(t, err, "bit %d of %#x belongs to the caller", bit, at)
		return
	}
	require.ErrorIs(t, err, alloc.ErrCorrupt, "bit %d of %#x", bit, at)
	_, err = h.Malloc(8)
	require.ErrorIs(t, err, alloc.ErrCorrupt, "a damaged heap must refuse")
}

// flipAndWork flips one bit and uses the heap.
func flipAndWork(t *testing.T, open opener, at, bit int, payload bool) {
	t.Helper()
	h, live := smallHeap(t, open)
	h.Region().Bytes()[at] ^= 1 << bit
	err := useHeap(h, live)
	if re, crashed := errors.AsType[runtime.Error](err); crashed {
		t.Fatalf("bit %d of %#x: %v", bit, at, re)
	}
	switch {
	case payload:
		require.NoError(t, err, "bit %d of %#x belongs to the caller", bit, at)
	case err != nil:
		require.ErrorIs(t, err, alloc.ErrCorrupt, "bit %d of %#x", bit, at)
		_, merr := h.Malloc(8)
		require.ErrorIs(t, merr, alloc.ErrCorrupt, "a damaged heap must refuse")
	}
	// An operation may have overwritten the flip; if not, it was found, here or
	// by the Check at the end of useHeap.
}

// useHeap frees and allocates, and checks at the end.
func useHeap(h fullHeap, live [][]byte) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
		default:
			err = fmt.Errorf("%v", r)
		}
	}()
	steps := []func() error{
		func() error { _, err := h.Malloc(30); return err },
		func() error { h.Free(live[1]); return nil },
		func() error { _, err := h.Malloc(120); return err },
		func() error { h.Free(live[0]); return nil },
		func() error { _, err := h.Realloc(live[2], 90); return err },
		func() error { _, err := h.MallocAligned(20, 32); return err },
		func() error { h.Free(live[3]); return nil },
		func() error { return h.Check() },
	}
	for _, step := range steps {
		if err := step(); err != nil && !errors.Is(err, alloc.ErrNoMemory) {
			return err
		}
	}
	return nil
}

// faultListCycle makes sound-looking links that form a cycle or cross lists.
func faultListCycle(t *testing.T) {
	t.Run("cycle", func(t *testing.T) {
		for _, p := range []Policy{First, Next, Best, Worst} {
			for _, o := range []Order{Front, Back, Address, SizeAscending, SizeDescending} {
				h := threeFree(t, &Options{Policy: p, Order: o})
				l := h.index.(*listIndex)
				h.setNext(l.tail, l.head)
				require.ErrorIs(t, h.tryCheck(), alloc.ErrCorrupt)
				_, err := h.Malloc(h.max) // no block is that large
				require.Error(t, err)
				_, err = h.Malloc(h.largestFree()) // no block has room for its tag too
				require.ErrorIs(t, err, alloc.ErrCorrupt, "%v %v", p, o)
			}
		}
	})
	t.Run("links_disagree", func(t *testing.T) {
		h := threeFree(t, nil)
		l := h.index.(*listIndex)
		h.setPrev(h.next(l.head), l.tail)
		require.ErrorIs(t, h.tryCheck(), alloc.ErrCorrupt)
		require.ErrorIs(t, alloc.Try(func() { l.remove(l.head, 0) }), alloc.ErrCorrupt)
	})
	t.Run("used_block_on_list", func(t *testing.T) {
		h := threeFree(t, nil)
		l := h.index.(*listIndex)
		h.setNext(l.head, h.start) // the first block is used
		require.ErrorIs(t, h.tryCheck(), alloc.ErrCorrupt)
		_, err := h.Malloc(800)
		require.ErrorIs(t, err, alloc.ErrCorrupt)
	})
	t.Run("tlsf_wrong_list", func(t *testing.T) {
		h, err := NewTLSF(region(t, 1<<16, arena.GoHeap), nil)
		require.NoError(t, err)
		b := mallocs(t, h, 64, 64, 500, 64)
		h.Free(b[0])
		h.Free(b[2])
		x := h.index.(*tlsfIndex)
		f, s := mapping(512)
		g, u := mapping(80)
		x.heads[f][s] = x.heads[g][u]
		require.ErrorIs(t, h.tryCheck(), alloc.ErrCorrupt)
		_, err = h.Malloc(488)
		require.ErrorIs(t, err, alloc.ErrCorrupt)
	})
	t.Run("buddy", func(t *testing.T) {
		h, err := NewBuddy(region(t, 1<<16, arena.GoHeap), nil)
		require.NoError(t, err)
		b := mallocs(t, h, 32, 32, 32, 32)
		h.Free(b[0])
		h.Free(b[2])
		h.setLink(h.heads[0], nextWord, h.heads[0])
		require.ErrorIs(t, h.Check(), alloc.ErrCorrupt)
	})
}

// tryCheck is Check on a heap that stays usable.
func (h *Heap) tryCheck() error {
	bad := h.bad
	defer func() { h.bad = bad }()
	return h.Check()
}

// threeFree is a heap with three free blocks apart from each other.
func threeFree(t testing.TB, o *Options) *Heap {
	t.Helper()
	h, err := New(region(t, 4096, arena.GoHeap), o)
	require.NoError(t, err)
	for i, b := range mallocs(t, h, 40, 40, 40, 100, 40) {
		if i%2 == 1 {
			h.Free(b)
		}
	}
	require.NoError(t, h.Check())
	return h
}

// Each law of Heap is broken on its own, and Check must name it.
func TestCheckNamesTheLaw(t *testing.T) {
	first := func(h *Heap) int { return h.index.(*listIndex).head }
	laws := []struct {
		law     string
		breakIt func(h *Heap)
	}{
		{"L1", func(h *Heap) { h.setTag(h.start, tag{size: 4096, used: true, prevUsed: true}) }},
		{"L1", func(h *Heap) { h.setTag(h.end, tag{size: 32}) }},
		{"L1", func(h *Heap) {
			h.setTag(h.start, tag{size: h.tagAt(h.start).size, slack: 999, used: true, prevUsed: true})
		}},
		{"L2", func(h *Heap) {
			off := first(h)
			t := h.tagAt(off)
			h.setTag(off, tag{size: 32, prevUsed: true})
			h.setTag(off+32, tag{size: t.size - 32})
		}},
		{"L3", func(h *Heap) { h.mem.put(first(h)+h.tagAt(first(h)).size-wordSize, footerWord, 0) }},
		{"L3", func(h *Heap) { t := h.tagAt(h.start); t.prevUsed = false; h.setTag(h.start, t) }},
		{"L4", func(h *Heap) { h.index.reset() }},
		{"L4", func(h *Heap) { h.setNext(first(h), 0) }},
		{"L4", func(h *Heap) { h.index.(*listIndex).rover = h.start }},
		{"L5", func(h *Heap) { h.flipStartBit(h.start) }},
		{"L5", func(h *Heap) { h.flipStartBit(first(h)) }},
		{"L6", func(h *Heap) { h.liveBlocks++ }},
		{"L6", func(h *Heap) { h.requested-- }},
		{"L6", func(h *Heap) { h.freeBytes += 16 }},
		{"L6", func(h *Heap) { h.mallocs++ }},
	}
	for i, l := range laws {
		h := threeFree(t, nil)
		l.breakIt(h)
		require.ErrorContains(t, h.Check(), l.law+":", "case %d", i)
		require.ErrorIs(t, h.bad, alloc.ErrCorrupt)
	}
	h := threeFree(t, &Options{Order: Address})
	l := h.index.(*listIndex)
	a, b := l.head, h.next(l.head)
	c := h.next(b)
	l.join(0, b)
	l.join(b, a)
	l.join(a, c)
	require.ErrorContains(t, h.Check(), "L4: block")
}

func TestBuddyCheckNamesTheLaw(t *testing.T) {
	laws := []struct {
		law     string
		breakIt func(h *Buddy, live []byte)
	}{
		{"B1", func(h *Buddy, b []byte) { h.clearState(h.start) }},
		{"B2", func(h *Buddy, b []byte) {
			off := offsetOf(h, b)
			h.setState(off, state{order: 0})
		}},
		{"B3", func(h *Buddy, b []byte) { clear(h.heads[:]) }},
		{"B4", func(h *Buddy, b []byte) { h.setState(h.end-h.size(0), state{order: 0}) }},
		{"B5", func(h *Buddy, b []byte) { h.live++ }},
		{"B5", func(h *Buddy, b []byte) { h.tails++ }},
	}
	for i, l := range laws {
		h, err := NewBuddy(region(t, 1<<14, arena.GoHeap), nil)
		require.NoError(t, err)
		blocks := mallocs(t, h, 32, 32, 20)
		h.Free(blocks[0])
		l.breakIt(h, blocks[1])
		require.ErrorContains(t, h.Check(), l.law+":", "case %d", i)
	}
}

// No flip of one or two bits of a word passes, whatever the value.
func TestWordsShowFlips(t *testing.T) {
	m := memory{bytes: make([]byte, 16), seed: 7}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		m.put(8, headerWord, rng.Uint64()&valueMask)
		for i := range 64 {
			m.bytes[8+i/8] ^= 1 << (i % 8)
			_, ok := m.get(8, headerWord)
			require.False(t, ok, "bit %d", i)
			for j := range i {
				m.bytes[8+j/8] ^= 1 << (j % 8)
				_, ok := m.get(8, headerWord)
				require.False(t, ok, "bits %d and %d", i, j)
				m.bytes[8+j/8] ^= 1 << (j % 8)
			}
			m.bytes[8+i/8] ^= 1 << (i % 8)
		}
		_, ok := m.get(8, headerWord)
		require.True(t, ok)
	}
}

func TestStatesShowFlips(t *testing.T) {
	sound := map[uint16]bool{0: true}
	for v := range uint16(1 << stateBits) {
		sound[v|stateFold(v)<<stateBits] = true
	}
	for w := range sound {
		for i := range 16 {
			require.False(t, sound[w^1<<i], "%#x, bit %d", w, i)
			for j := range i {
				require.False(t, sound[w^1<<i^1<<j], "%#x, bits %d and %d", w, i, j)
			}
		}
	}
}

func TestAttack(t *testing.T) {
	steps := 20000
	if testing.Short() {
		steps = 3000
	}
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			noticed := alloctest.Attack(t, attacked(t, open), 1, steps)
			require.Positive(t, noticed)
		})
	}
}

// attacked makes small heaps with all of their memory.
func attacked(t testing.TB, open opener) func() (alloc.Allocator, []byte) {
	return func() (alloc.Allocator, []byte) {
		r, err := arena.Reserve(8192, &arena.Options{Backing: arena.GoHeap})
		require.NoError(t, err)
		h, err := open(r, &Options{Seed: 3})
		require.NoError(t, err)
		return h, r.Bytes()
	}
}
