package segregated

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// movables are blocks that begin with their number, by which move finds what
// refers to them.
type movables struct {
	h     *Heap
	block map[uint16][]byte
	align map[uint16]int
	next  uint16
}

func newMovables(h *Heap) *movables {
	return &movables{h: h, block: map[uint16][]byte{}, align: map[uint16]int{}}
}

// add allocates a block of at least two bytes; 0 means that there was no memory.
func (m *movables) add(t require.TestingT, size, align int) uint16 {
	b, err := m.h.MallocAligned(size, align)
	if err != nil {
		require.ErrorIs(t, err, alloc.ErrNoMemory)
		return 0
	}
	m.next++
	m.set(m.next, b)
	m.align[m.next] = align
	return m.next
}

// set makes b the block with the number id, and writes its contents.
func (m *movables) set(id uint16, b []byte) {
	fill(b, byte(id))
	b[0], b[1] = byte(id), byte(id>>8)
	m.block[id] = b
}

func (m *movables) free(id uint16) {
	m.h.Free(m.block[id])
	delete(m.block, id)
}

// move takes every block to its new place.
func (m *movables) move(from, to []byte) bool {
	id := uint16(to[0]) | uint16(to[1])<<8
	b := m.block[id]
	if addrOf(b) != addrOf(from) || len(from) < len(b) || len(to) != len(from) || !bytes.Equal(from, to) {
		panic(fmt.Sprintf("block %d of %d bytes at %#x, not %d at %#x", id, len(b), addrOf(b), len(from), addrOf(from)))
	}
	m.block[id] = to[:len(b):len(b)]
	return true
}

// verify returns what is wrong with the blocks, or with the heap.
func (m *movables) verify() error {
	for id, b := range m.block {
		if b[0] != byte(id) || b[1] != byte(id>>8) {
			return fmt.Errorf("block %d begins with % x", id, b[:2])
		}
		if err := filled(b[2:], byte(id)); err != nil {
			return fmt.Errorf("block %d: %w", id, err)
		}
		if a := max(1, m.align[id]); addrOf(b)%uintptr(a) != 0 {
			return fmt.Errorf("block %d is at %#x, aligned to %d", id, addrOf(b), a)
		}
	}
	if n := m.h.Stats().LiveBlocks; n != len(m.block) {
		return fmt.Errorf("%d live blocks, want %d", n, len(m.block))
	}
	return m.h.Check()
}

// freeAll frees the blocks; the heap is empty then.
func (m *movables) freeAll(t require.TestingT) {
	for id := range m.block {
		m.free(id)
	}
	m.h.Trim()
	s := m.h.Stats()
	require.Zero(t, s.LiveBlocks)
	require.Zero(t, s.Live)
}

// sparseHeap returns one with blocks of the given size, of which one in keep is
// left, anywhere.
func sparseHeap(t testing.TB, size, bytes, keep int, o *Options) *movables {
	m := newMovables(fresh(t, 8<<20, o))
	m.fill(t, size, bytes)
	m.thin(rand.New(rand.NewPCG(1, 2)), keep)
	return m
}

func (m *movables) fill(t testing.TB, size, bytes int) {
	for sum := 0; sum < bytes; sum += size {
		require.NotZero(t, m.add(t, size, 1))
	}
}

func (m *movables) thin(rng *rand.Rand, keep int) {
	for _, id := range slices.Sorted(maps.Keys(m.block)) {
		if rng.IntN(keep) != 0 {
			m.free(id)
		}
	}
}

// kinds of heaps that Compact treats in different ways.
func compactHeaps() map[string]*Options {
	return map[string]*Options{
		"fast":          {},
		"no classes":    {Classes: []int{}},
		"zero on free":  {ZeroOnFree: true},
		"checked":       {Mode: Checked, Seed: 1, Quarantine: 32 << 10},
		"no quarantine": {Mode: Checked, Seed: 1, Quarantine: -1},
		"guarded":       {Mode: Guarded, Seed: 1, Quarantine: 32 << 10, Guard: GuardOptions{Every: 20}},
		"traced":        {ProfileRate: 1, Seed: 1},
	}
}

// Compact brings blocks that are few on many pages together on few, so that the
// rest can be given back, and then has no more to do.
func TestCompact(t *testing.T) {
	for _, size := range []int{16, 32, 48, 200, 1000, 3000, 8000} {
		for name, o := range compactHeaps() {
			t.Run(fmt.Sprintf("%d %s", size, name), func(t *testing.T) {
				m := sparseHeap(t, size, min(1<<20, 30000*size), 5, o)
				m.h.Trim()
				before := m.h.Stats()
				moved := 0
				for range 6 {
					n, err := m.h.Compact(1<<30, m.move)
					require.NoError(t, err)
					require.NoError(t, m.verify())
					moved += n
				}
				m.h.Trim()
				after := m.h.Stats()
				require.Equal(t, before.LiveBlocks, after.LiveBlocks)
				// A block whose run became spans may have got what would have been none.
				require.InDelta(t, before.Requested-before.Live, after.Requested-after.Live, float64(before.Live)/500)
				require.Less(t, moved, 2*before.Live, "blocks go back and forth")
				was, is := before.Committed-before.Metadata-before.Quarantined, after.Committed-after.Metadata-after.Quarantined
				t.Logf("%d bytes live, %d moved: %d committed, were %d", after.Live, moved, is, was)
				require.Less(t, (is-after.Live)*5, (was-before.Live)*3, "of what Trim had left wasted")
				m.freeAll(t)
			})
		}
	}
}

// It ends soon after the budget, and does nothing without one.
func TestCompactBudget(t *testing.T) {
	m := sparseHeap(t, 200, 1<<20, 5, nil)
	never := func(from, to []byte) bool { panic("a block moves") }
	for _, budget := range []int{0, -1, -1 << 31} {
		moved, err := m.h.Compact(budget, never)
		require.NoError(t, err)
		require.Zero(t, moved)
	}
	calls := 0
	moved, err := m.h.Compact(1000, func(from, to []byte) bool { calls++; return m.move(from, to) })
	require.NoError(t, err)
	require.Equal(t, 5*208, moved)
	require.Equal(t, 5, calls)
	require.NoError(t, m.verify())

	_, err = m.h.Compact(1, nil)
	require.ErrorIs(t, err, errNoMove)
	_, err = m.h.Compact(int(^uint(0)>>1), m.move)
	require.NoError(t, err)
	require.NoError(t, m.verify())

	full := sparseHeap(t, 200, 1<<20, 1, nil)
	moved, err = full.h.Compact(1<<20, never)
	require.NoError(t, err)
	require.Zero(t, moved)
	empty := newMovables(fresh(t, 1<<20, nil))
	moved, err = empty.h.Compact(1<<20, never)
	require.NoError(t, err)
	require.Zero(t, moved)
}

// A call looks at a part of a large heap, the next one at the next part, and so on
// round the heap.
func TestCompactWindows(t *testing.T) {
	m := newMovables(fresh(t, 64<<20, nil))
	m.fill(t, 1000, 20<<20)
	m.thin(rand.New(rand.NewPCG(1, 2)), 5)
	seen := map[uint64]bool{}
	for range 12 {
		lo, hi := ^uint64(0), uint64(0)
		_, err := m.h.Compact(1000, func(from, to []byte) bool {
			off := uint64(addrOf(from) - addrOf(m.h.mem))
			lo, hi = min(lo, off), max(hi, off)
			return m.move(from, to)
		})
		require.NoError(t, err)
		require.Less(t, hi-lo, uint64(compactWindow+compactWindow/2))
		seen[lo/compactWindow] = true
	}
	require.GreaterOrEqual(t, len(seen), 4)
	require.NoError(t, m.verify())
}

// What moves leaves a dead place behind, as Free does; in mode Checked it holds
// poison.
func TestCompactDead(t *testing.T) {
	for name, o := range compactHeaps() {
		t.Run(name, func(t *testing.T) {
			m := sparseHeap(t, 200, 256<<10, 5, o)
			old := maps.Clone(m.block)
			var last uint16
			moved, err := m.h.Compact(1<<20, func(from, to []byte) bool {
				last = uint16(to[0]) | uint16(to[1])<<8
				return m.move(from, to)
			})
			require.NoError(t, err)
			require.Positive(t, moved)
			b := old[last]
			fault := unchanged(t, m.h, alloc.ErrDoubleFree, func() { m.h.Free(b) })
			if o.ProfileRate == 1 {
				require.NotEmpty(t, fault.AllocStack)
				require.NotEmpty(t, fault.FreeStack)
			}
			if o.Mode != Fast {
				require.Equal(t, byte(freedByte), b[50], "a forgotten reference sees the old bytes")
			}
		})
	}
}

// While move runs the heap takes no calls; what it panics with goes on, and the
// block stays.
func TestCompactInside(t *testing.T) {
	for name, o := range compactHeaps() {
		t.Run(name, func(t *testing.T) {
			m := sparseHeap(t, 200, 256<<10, 5, o)
			inside := 0
			_, err := m.h.Compact(500, func(from, to []byte) bool {
				inside++
				_, err := m.h.Malloc(10)
				require.ErrorIs(t, err, alloc.ErrBusy)
				_, err = m.h.Realloc(from, 1000)
				require.ErrorIs(t, err, alloc.ErrBusy)
				_, err = m.h.Compact(1, m.move)
				require.ErrorIs(t, err, alloc.ErrBusy)
				require.ErrorIs(t, alloc.Try(func() { m.h.Free(from) }), alloc.ErrBusy)
				require.ErrorIs(t, alloc.Try(func() { m.h.Free(to) }), alloc.ErrBusy)
				require.ErrorIs(t, alloc.Try(func() { m.h.SetRoot(to) }), alloc.ErrBusy)
				require.ErrorIs(t, m.h.Close(), alloc.ErrBusy)
				require.Zero(t, m.h.Trim())
				require.NoError(t, m.h.Check())
				return m.move(from, to)
			})
			require.NoError(t, err)
			require.Positive(t, inside)
			for _, how := range []func([]byte){
				func([]byte) { panic("no") },
				func(b []byte) { b[len(b)] = 0 },
				func([]byte) { panic(&alloc.Fault{Op: "mine", Err: alloc.ErrSize}) },
			} {
				before := maps.Clone(m.block)
				require.Panics(t, func() { m.h.Compact(1<<20, func(from, to []byte) bool { how(to); return true }) })
				require.NoError(t, m.verify())
				for id, b := range m.block {
					require.Equal(t, addrOf(before[id]), addrOf(b))
				}
			}
			_, err = m.h.Compact(1<<20, m.move)
			require.NoError(t, err)
			require.NoError(t, m.verify())
			m.freeAll(t)
		})
	}
	t.Run("blocks", func(t *testing.T) {
		m := sparseHeap(t, 200, 256<<10, 5, nil)
		for range m.h.Blocks() {
			_, err := m.h.Compact(1, m.move)
			require.ErrorIs(t, err, alloc.ErrBusy)
			break
		}
	})
}

// Blocks that move returns false for stay where they are, with their bytes, whatever
// it did to the place that it did not take; and the heap is as it was.
func TestCompactRefused(t *testing.T) {
	for name, o := range compactHeaps() {
		t.Run(name, func(t *testing.T) {
			m := sparseHeap(t, 200, 256<<10, 5, o)
			m.h.flushQuick()
			before := m.h.Stats()
			moved, err := m.h.Compact(1<<20, func(from, to []byte) bool { set(to, 7); return false })
			require.NoError(t, err)
			require.Zero(t, moved)
			require.NoError(t, m.verify())
			require.Equal(t, before.Live, m.h.Stats().Live)
			require.Equal(t, before.Requested, m.h.Stats().Requested)
			m.freeAll(t)
		})
	}
}

// A block keeps the alignment that it was asked for with.
func TestCompactAligned(t *testing.T) {
	for _, mode := range []Mode{Fast, Checked} {
		m := newMovables(fresh(t, 16<<20, &Options{Mode: mode, Seed: 1, Quarantine: -1}))
		rng := rand.New(rand.NewPCG(3, 4))
		for range 6000 {
			m.add(t, 16+rng.IntN(500), 1<<rng.IntN(10))
		}
		m.thin(rng, 5)
		moved, err := m.h.Compact(1<<30, m.move)
		require.NoError(t, err)
		require.Positive(t, moved)
		require.NoError(t, m.verify())
	}
}

// Blocks with guard pages stay; a freed block that was written to is reported.
func TestCompactModes(t *testing.T) {
	m := sparseHeap(t, 200, 100<<10, 5, &Options{Mode: Guarded, Seed: 1})
	moved, err := m.h.Compact(1<<20, m.move)
	require.NoError(t, err)
	if m.h.ModeReport().GuardedLive == m.h.Stats().LiveBlocks {
		require.Zero(t, moved)
	}

	m = sparseHeap(t, 200, 256<<10, 5, &Options{Mode: Checked, Seed: 1, Quarantine: -1, Classes: []int{}})
	m.h.flushQuick()
	for p := range m.h.pieces() { // a write after free, past the links, wherever a block may come
		if p.class == 0 && !p.used && p.n > 2 {
			m.h.mem[(p.g+p.n)<<granuleShift-1] = 1
			m.h.mem[p.g<<granuleShift+granule] = 1
		}
	}
	before := maps.Clone(m.block)
	moved, err = m.h.Compact(1<<20, m.move)
	require.ErrorIs(t, err, alloc.ErrWriteAfterFree)
	require.Zero(t, moved)
	for id, b := range before {
		require.Equal(t, addrOf(b), addrOf(m.block[id]))
	}
	require.ErrorIs(t, m.h.Check(), alloc.ErrWriteAfterFree)
	for p := range m.h.pieces() {
		if p.class == 0 && !p.used && p.n > 2 {
			m.h.mem[(p.g+p.n)<<granuleShift-1] = freedByte
			m.h.mem[p.g<<granuleShift+granule] = freedByte
		}
	}
	require.NoError(t, m.h.Check())
	require.Equal(t, 1, m.h.ModeReport().Condemned)
}

// Damage that Compact meets is an error, for good.
func TestCompactDamage(t *testing.T) {
	m := sparseHeap(t, 48, 256<<10, 5, nil)
	for u := range m.h.kinds {
		if m.h.kinds[u] >= kindRun && m.h.kinds[u]&0xff == 1 {
			m.h.kinds[u]++
		}
	}
	_, err := m.h.Compact(1<<20, m.move)
	require.ErrorIs(t, err, alloc.ErrCorrupt)
	_, err = m.h.Malloc(10)
	require.ErrorIs(t, err, alloc.ErrCorrupt)
}
