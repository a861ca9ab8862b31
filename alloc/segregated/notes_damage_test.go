package segregated

import (
	"math/bits"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// noteOf returns the first note of the kind, and what it is of.
func noteOf(t *testing.T, h *Heap, kind func(ci uintptr, first, empty bool) bool) (i uint64, ci, run uintptr) {
	for i := range h.notes.n {
		ci, run := h.notedRun(i)
		if ci != 0 && run == h.classes[ci].cur {
			continue
		}
		empty := ci != 0 && h.units[run]&h.classes[ci].valid == 0
		if kind(ci, h.notes.table[i]&wasFull != 0, empty) {
			return i, ci, run
		}
	}
	require.Fail(t, "there is no such note")
	return 0, 0, 0
}

func ofSpan(ci uintptr, _, _ bool) bool          { return ci == 0 }
func ofFirst(ci uintptr, first, empty bool) bool { return ci != 0 && first && !empty }
func ofLast(ci uintptr, first, empty bool) bool  { return ci != 0 && !first && empty }
func ofBoth(ci uintptr, first, empty bool) bool  { return ci != 0 && first && empty }

// freeMostInNotes frees so many blocks while Free takes notes that there are runs of all
// kinds: some have lost their first slot, some their last, some both.
func freeMostInNotes(t *testing.T, h *Heap, seed uint64) {
	bs := shuffled(t, h, 2500, seed)
	hasten(h)
	for _, b := range bs[100:] {
		h.Free(b)
	}
	require.Greater(t, h.notes.n, uint64(1000))
}

// TestNotesFindDamage: where the rows do not say what they did when Free took a note, nothing is
// handed out, and the heap says so, whoever comes first.
func TestNotesFindDamage(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, h *Heap){
		"span without a mark": func(t *testing.T, h *Heap) {
			i, _, _ := noteOf(t, h, ofSpan)
			clearMark(h.rowOf(h.noted(i)), h.noted(i))
		},
		"span marked as used": func(t *testing.T, h *Heap) {
			i, _, _ := noteOf(t, h, ofSpan)
			*h.rowOf(h.noted(i)) |= mark(asUsed, h.noted(i))
		},
		"span in a run": func(t *testing.T, h *Heap) {
			i, _, _ := noteOf(t, h, ofSpan)
			h.kinds[h.noted(i)>>granuleBits] = 1<<8 | 7
		},
		"span in a row of another kind": func(t *testing.T, h *Heap) {
			i, _, _ := noteOf(t, h, ofSpan)
			h.kinds[h.noted(i)>>granuleBits] = kindLast
		},
		"run of no class": func(t *testing.T, h *Heap) {
			_, _, run := noteOf(t, h, ofLast)
			h.kinds[run] = maxClasses << 8
		},
		"no run": func(t *testing.T, h *Heap) {
			_, _, run := noteOf(t, h, ofFirst)
			h.kinds[run] = 0
		},
		"empty run has live slots": func(t *testing.T, h *Heap) {
			_, _, run := noteOf(t, h, ofLast)
			h.units[run] |= 1
		},
		"run is full again": func(t *testing.T, h *Heap) {
			_, _, run := noteOf(t, h, ofFirst)
			h.units[run] = ^uint64(0)
		},
		"run has another row": func(t *testing.T, h *Heap) {
			_, ci, run := noteOf(t, h, ofBoth)
			h.units[run] |= 1 << uint(bits.TrailingZeros64(h.classes[ci].valid))
		},
		"links lead nowhere": func(t *testing.T, h *Heap) {
			_, ci, run := noteOf(t, h, func(ci uintptr, first, empty bool) bool {
				return ofLast(ci, first, empty)
			})
			for i := range h.notes.n { // the run was full, or on a list
				if c, r := h.notedRun(i); c == ci && r == run && h.notes.table[i]&wasFull != 0 {
					h.notes.table[i] &^= wasFull // as if it had been on one
				}
			}
			*h.runLinks(&h.classes[ci], run) = 1 << 32
			h.hdr.partial[ci] = uint32(run + 1)
		},
	} {
		for by, f := range map[string]func(h *Heap) error{
			"malloc":  func(h *Heap) error { _, err := h.Malloc(3000); return err },
			"slot":    func(h *Heap) error { _, err := h.refilled(); return err },
			"free":    func(h *Heap) error { return alloc.Try(func() { h.settleFree(nil) }) },
			"aligned": func(h *Heap) error { _, err := h.MallocAligned(100, 64); return err },
		} {
			t.Run(name+"/"+by, func(t *testing.T) {
				h := fresh(t, 64<<20, nil)
				freeMostInNotes(t, h, 11)
				harm(t, h)
				if by == "free" {
					h.sweepAt, h.credit = 0, sweepLeast
				}
				require.ErrorIs(t, f(h), alloc.ErrCorrupt)
				_, err := h.Malloc(16)
				require.ErrorIs(t, err, alloc.ErrCorrupt)
			})
		}
	}
}

// refilled returns a slot of a class that has none at hand.
func (h *Heap) refilled() ([]byte, error) {
	h.classes[h.classOf[4]].avail = 0
	return h.Malloc(64)
}

// TestCheckFindsNotes breaks what L5 and L7 say of what is noted.
func TestCheckFindsNotes(t *testing.T) {
	for name, c := range map[string]struct {
		law  string
		harm func(t *testing.T, h *Heap)
	}{
		"all lost":  {"L5:", func(_ *testing.T, h *Heap) { h.notes.n = 0 }},
		"span lost": {"L5:", func(t *testing.T, h *Heap) { i, _, _ := noteOf(t, h, ofSpan); h.notes.table[i] = h.notes.table[i+1] }},
		"span twice": {"L5:", func(t *testing.T, h *Heap) {
			i, _, _ := noteOf(t, h, ofSpan)
			h.notes.table[h.notes.n] = h.notes.table[i]
			h.notes.n++
		}},
		"run twice": {"L5:", func(t *testing.T, h *Heap) {
			i, _, _ := noteOf(t, h, ofFirst)
			h.notes.table[h.notes.n] = h.notes.table[i]
			h.notes.n++
		}},
		"above the top": {"L5:", func(_ *testing.T, h *Heap) { h.notes.table[0] = (h.top - h.first) << granuleShift }},
		"run not empty": {"L7:", func(t *testing.T, h *Heap) { i, _, _ := noteOf(t, h, ofFirst); h.notes.table[i] &^= wasFull }},
		"first lost":    {"L7:", func(t *testing.T, h *Heap) { dropNote(t, h, ofFirst) }},
		"last lost":     {"L7:", func(t *testing.T, h *Heap) { dropNote(t, h, ofLast) }},
		"run full":      {"L5:", func(t *testing.T, h *Heap) { _, _, run := noteOf(t, h, ofFirst); h.units[run] = ^uint64(0) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := fresh(t, 64<<20, nil)
			freeMostInNotes(t, h, 12)
			require.NoError(t, h.Check())
			c.harm(t, h)
			require.ErrorContains(t, h.Check(), c.law)
			h.fail("broken on purpose") // so that the end of the test does not check
		})
	}
}

// dropNote takes out the first note of the kind.
func dropNote(t *testing.T, h *Heap, kind func(ci uintptr, first, empty bool) bool) {
	i, _, _ := noteOf(t, h, kind)
	copy(h.notes.table[i:h.notes.n], h.notes.table[i+1:h.notes.n])
	h.notes.n--
}

// TestNotesKilled: a heap in a file whose process ended while Free took notes, or when it had
// just done what they say.
func TestNotesKilled(t *testing.T) {
	for name, f := range map[string]func(h *Heap){"noted": func(*Heap) {}, "settled": (*Heap).settle} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "heap")
			r := fileRegion(t, path, 64<<20)
			h, err := New(r, nil)
			require.NoError(t, err)
			rest := freeInNotes(t, h, shuffled(t, h, 4000, 13), 500)
			f(h)
			offs, sizes, first := make([]arena.Offset, len(rest)), make([]int, len(rest)), make([]byte, len(rest))
			for i, b := range rest {
				offs[i], sizes[i], first[i] = h.Offset(b), len(b), b[0]
			}
			require.NoError(t, r.Close())

			r = fileRegion(t, path, 64<<20)
			h, err = Open(r, nil)
			require.NoError(t, err)
			require.Equal(t, len(rest), h.Stats().LiveBlocks)
			require.NoError(t, h.Check())
			for i, off := range offs {
				b, err := h.At(off)
				require.NoError(t, err)
				require.NoError(t, filled(b[:sizes[i]], first[i]))
				h.Free(b)
			}
			require.NoError(t, h.Check())
			require.NoError(t, h.Close())
			require.NoError(t, r.Close())
		})
	}
}

// TestNotesClosed: a heap in a file that is closed while Free takes notes, and opened again.
func TestNotesClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heap")
	r := fileRegion(t, path, 64<<20)
	h, err := New(r, nil)
	require.NoError(t, err)
	large := must(t, h, 128*h.region.PageSize())
	off := h.Offset(large)
	rest := freeInNotes(t, h, shuffled(t, h, 4000, 14), 500)
	require.NoError(t, h.Close())
	require.NoError(t, r.Close())

	r = fileRegion(t, path, 64<<20)
	h, err = Open(r, nil)
	require.NoError(t, err)
	require.Equal(t, len(rest)+1, h.Stats().LiveBlocks)
	require.NoError(t, h.Check())

	bs := shuffled(t, h, 3000, 15)
	large, err = h.At(off)
	require.NoError(t, err)
	h.credit = 1 << 20
	freeInNotes(t, h, bs, 100)
	before := h.committed
	h.Free(large)
	require.LessOrEqual(t, h.committed, before-126*uint64(h.region.PageSize()), "a large one goes back at once")
	require.NoError(t, h.Check())
	require.NoError(t, h.Close())
	require.NoError(t, r.Close())
}
