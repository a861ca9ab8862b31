package segregated

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestCompactModel: under random operations of all kinds, blocks keep their bytes
// and their alignment and stay live, exactly once each, whether move says yes or
// no, in each mode and with each option; and the sink knows where they are.
func TestCompactModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		region := rapid.SampledFrom([]int{4 << 20, 4 << 20, 200 << 10}).Draw(rt, "region")
		r, err := arena.Reserve(region, &arena.Options{Backing: rapid.SampledFrom([]arena.Backing{arena.GoHeap, arena.Mmap}).Draw(rt, "backing")})
		require.NoError(rt, err)
		defer r.Close()
		var l *listener
		o := &Options{
			Mode: rapid.SampledFrom([]Mode{Fast, Fast, Fast, Checked, Guarded}).Draw(rt, "mode"), Seed: 1,
			ZeroOnFree:  rapid.Bool().Draw(rt, "zero"),
			ProfileRate: rapid.SampledFrom([]int{0, 0, 1}).Draw(rt, "rate"),
			Quarantine:  rapid.SampledFrom([]int{0, -1, 5000}).Draw(rt, "quarantine"),
			Guard:       GuardOptions{Every: 5, Mappings: 100},
			Limit:       rapid.SampledFrom([]int{0, 600 << 10}).Draw(rt, "limit"),
			Classes:     rapid.SampledFrom([][]int{nil, nil, {}, {64, 1024}}).Draw(rt, "classes"),
		}
		if rapid.Bool().Draw(rt, "sink") {
			l = newListener(region, r.PageSize())
			o.Sink = l.hear
		}
		h, err := New(r, o)
		require.NoError(rt, err)
		defer h.Close()
		m := newMovables(h)
		for range rapid.IntRange(1, 8).Draw(rt, "rounds") {
			compactRound(rt, m)
			if err := m.verify(); err != nil {
				rt.Fatal(err)
			}
			if l == nil {
				continue
			}
			if l.wrong != "" {
				rt.Fatal(l.wrong)
			}
			for id, b := range m.block {
				if _, ok := l.live[h.Offset(b)]; !ok {
					rt.Fatalf("the sink knows no block %d at %#x", id, h.Offset(b))
				}
			}
			if len(l.live) != len(m.block) {
				rt.Fatalf("the sink knows %d blocks of %d", len(l.live), len(m.block))
			}
		}
		m.freeAll(rt)
	})
}

// compactRound allocates, resizes and frees some blocks, and calls Compact.
func compactRound(rt *rapid.T, m *movables) {
	least := rapid.SampledFrom([]int{2, 40, 300, 2500, 7000}).Draw(rt, "least")
	spread := rapid.SampledFrom([]int{1, 100, 3000}).Draw(rt, "spread")
	aligned := rapid.Bool().Draw(rt, "aligned")
	rng := newRand(rapid.Uint64().Draw(rt, "seed"), 1)
	for range rapid.IntRange(1, 300).Draw(rt, "blocks") {
		align := 1
		if aligned {
			align = 1 << rng.IntN(10)
		}
		m.add(rt, least+rng.IntN(spread), align)
	}
	keep := rapid.IntRange(1, 6).Draw(rt, "keep")
	for _, id := range slices.Sorted(maps.Keys(m.block)) {
		switch rng.IntN(6) {
		case 0:
			if b, err := m.h.ReallocAligned(m.block[id], least+rng.IntN(spread), m.align[id]); err == nil {
				m.set(id, b)
			}
		default:
			if rng.IntN(keep) != 0 {
				m.free(id)
			}
		}
	}
	if len(m.block) > 0 && rng.IntN(2) == 0 {
		m.h.SetRoot(m.block[slices.Min(slices.Collect(maps.Keys(m.block)))])
	}
	refuse := rapid.SampledFrom([]int{1 << 30, 2, 1}).Draw(rt, "refuse")
	root, sum := m.h.Root(), 0
	moved, err := m.h.Compact(rapid.IntRange(1, 1<<20).Draw(rt, "budget"), func(from, to []byte) bool {
		if addrOf(from) == addrOf(root) && root != nil {
			rt.Fatal("the root moves")
		}
		if rng.IntN(refuse) == 1 || refuse == 1 {
			clear(to) // what it may do with a place that it does not take
			return false
		}
		sum += len(from)
		return m.move(from, to)
	})
	if err != nil || moved != sum {
		rt.Fatalf("moved %d, want %d: %v", moved, sum, err)
	}
}

// TestCompactFile: a heap in a file has its blocks where they moved when it is
// opened again. If the process ends while a block moves, it is there in one of
// the two places, whichever is referred to.
func TestCompactFile(t *testing.T) {
	for _, mode := range []Mode{Fast, Checked} {
		for _, classes := range [][]int{nil, {}} {
			t.Run(fmt.Sprintf("%v %d", mode, len(classes)), func(t *testing.T) {
				o := &Options{Mode: mode, Seed: 1, Classes: classes, Quarantine: 10000}
				dir := t.TempDir()
				r := fileRegion(t, filepath.Join(dir, "heap"), 2<<20)
				h, err := New(r, o)
				require.NoError(t, err)
				m := newMovables(h)
				m.fill(t, 200, 400<<10)
				m.thin(newRand(1, 1), 5)
				for id, b := range m.block {
					h.SetRoot(b)
					root, calls := h.Offset(b), 0
					_, err := h.Compact(3000, func(from, to []byte) bool {
						if calls++; id%50 == 0 && calls == 3 {
							killedInside(t, m, filepath.Join(dir, "copy"), from, to)
						}
						return m.move(from, to)
					})
					require.NoError(t, err)
					require.Equal(t, root, h.Offset(m.block[id]))
				}
				offsets := m.offsets()
				require.NoError(t, m.verify())
				require.NoError(t, h.Close())
				h, err = Open(r, o)
				require.NoError(t, err)
				m.h = h
				for id, off := range offsets {
					b, err := h.At(off)
					require.NoError(t, err)
					m.block[id] = b[:200]
				}
				require.NoError(t, m.verify())
				require.NoError(t, h.Close())
			})
		}
	}
}

// offsets returns where the blocks are.
func (m *movables) offsets() map[uint16]arena.Offset {
	at := map[uint16]arena.Offset{}
	for id, b := range m.block {
		at[id] = arena.Offset(addrOf(b) - addrOf(m.h.mem))
	}
	return at
}

// killedInside opens a copy of the heap in which a block is on its way from one
// place to the other: every block is there, that one at both.
func killedInside(t *testing.T, m *movables, path string, from, to []byte) {
	require.NoError(t, m.h.region.Sync())
	image, err := os.ReadFile(filepath.Join(filepath.Dir(path), "heap"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, image, 0o600))
	r := fileRegion(t, path, len(m.h.mem))
	h, err := Open(r, nil)
	require.NoError(t, err)
	require.NoError(t, h.Check())
	require.Equal(t, len(m.block)+1, h.Stats().LiveBlocks)
	for id, off := range m.offsets() {
		b, err := h.At(off)
		require.NoError(t, err)
		require.Equal(t, id, uint16(b[0])|uint16(b[1])<<8)
		require.NoError(t, filled(b[2:200], byte(id)))
	}
	for _, b := range [][]byte{from, to} {
		at, err := h.At(arena.Offset(addrOf(b) - addrOf(m.h.mem)))
		require.NoError(t, err)
		require.Equal(t, b[:200], at[:200])
	}
	require.NoError(t, h.Close())
	require.NoError(t, r.Close())
}

// TestCompactSink: the events of the moves, in their order, lead from the old places
// to the new ones.
func TestCompactSink(t *testing.T) {
	who := map[arena.Offset]uint16{}
	m := sparseHeap(t, 200, 256<<10, 5, &Options{Sink: func(e alloc.Event) {
		if e.Kind == alloc.EventRealloc {
			who[e.Off] = who[e.Old]
			delete(who, e.Old)
		}
	}})
	for id, at := range m.offsets() {
		who[at] = id
	}
	moved, err := m.h.Compact(1<<20, m.move)
	require.NoError(t, err)
	require.Positive(t, moved)
	for id, at := range m.offsets() {
		require.Equal(t, id, who[at])
	}
	require.Len(t, who, len(m.block))
}
