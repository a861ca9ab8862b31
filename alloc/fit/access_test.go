package fit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/internal/invariants"
)

// A watched heap holds its heap to the promise of Options.Accesses: no byte of
// the region changes without an event that says so.
type watched struct {
	t       *testing.T
	heap    fullHeap
	region  []byte
	before  []byte
	told    []bool // bytes of which an event of this call spoke
	touched int    // bytes that changed, over all calls
}

func (w *watched) sink(e alloc.Event) {
	switch e.Kind {
	case alloc.EventWrite, alloc.EventCommit, alloc.EventDecommit:
		for i := range w.told[e.Off:][:e.Size] {
			w.told[int(e.Off)+i] = true
		}
	}
}

// during runs one call and compares the region with what it was.
func (w *watched) during(call func()) {
	w.t.Helper()
	w.before = append(w.before[:0], w.region...)
	clear(w.told)
	call()
	for i := range w.region {
		if w.region[i] != w.before[i] {
			w.touched++
			require.True(w.t, w.told[i], "byte %#x changed from %#x to %#x, and no event told of it", i, w.before[i], w.region[i])
		}
	}
}

func (w *watched) Malloc(size int) (b []byte, err error) {
	w.during(func() { b, err = w.heap.Malloc(size) })
	return b, err
}

func (w *watched) Calloc(count, size int) (b []byte, err error) {
	w.during(func() { b, err = w.heap.Calloc(count, size) })
	return b, err
}

func (w *watched) Realloc(b []byte, size int) (n []byte, err error) {
	w.during(func() { n, err = w.heap.Realloc(b, size) })
	return n, err
}

func (w *watched) MallocAligned(size, align int) (b []byte, err error) {
	w.during(func() { b, err = w.heap.MallocAligned(size, align) })
	return b, err
}

func (w *watched) ReallocAligned(b []byte, size, align int) (n []byte, err error) {
	w.during(func() { n, err = w.heap.ReallocAligned(b, size, align) })
	return n, err
}

func (w *watched) Free(b []byte) { w.during(func() { w.heap.Free(b) }) }

// Every write to the metadata and every byte that the heap copies or clears is
// reported: an address stream without holes is what a simulated MMU replays.
func TestNoWriteIsSilent(t *testing.T) {
	if invariants.Enabled {
		t.Skip("blocks are filled, which is not reported")
	}
	for name, open := range openers {
		for _, zero := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := region(t, 64<<10, arena.GoHeap)
				w := &watched{t: t, region: r.Bytes(), told: make([]bool, r.Size())}
				var err error
				w.heap, err = open(r, &Options{Sink: w.sink, Accesses: true, Zero: zero, Grow: 4096})
				require.NoError(t, err)
				ops := alloctest.RandomOps(4, alloctest.Mix{Ops: 600, MaxSize: 3000, Unaligned: true})
				require.NoError(t, alloctest.Run(w, ops, 0))
				require.NoError(t, w.heap.Check())
				require.Greater(t, w.touched, len(ops), "the heap changed next to nothing, so nothing was tested")
			})
		}
	}
}

// Reads that the heap makes of its metadata are reported, so that a search
// touches what it must: one word, the tag, for each block it looks at and one
// link to the next.
func TestSearchIsSeen(t *testing.T) {
	reads := map[arena.Offset]int{}
	counting := false
	h, err := New(region(t, 1<<20, arena.GoHeap), &Options{Accesses: true, Order: Address, Sink: func(e alloc.Event) {
		if counting && e.Kind == alloc.EventRead && e.Size == wordSize {
			reads[e.Off]++
		}
	}})
	require.NoError(t, err)
	var keep [][]byte
	for range 40 { // free blocks of 48 bytes, kept apart by used ones
		hole, err := h.Malloc(40)
		require.NoError(t, err)
		wall, err := h.Malloc(40)
		require.NoError(t, err)
		keep = append(keep, hole, wall)
	}
	for i := 0; i < len(keep); i += 2 {
		h.Free(keep[i])
	}
	holes := h.FreeList()
	counting = true
	_, err = h.Malloc(200) // none of the holes fits
	require.NoError(t, err)
	counting = false
	for _, b := range holes {
		if b.Size == 48 {
			require.NotZero(t, reads[b.Off-arena.Offset(h.o.Header)], "the tag of the free block %#x was passed over", b.Off)
			require.NotZero(t, reads[b.Off], "the link of the free block %#x was not followed", b.Off)
		}
	}
}

// The package comment walks through Malloc(40) and its Free; this holds it to
// every figure it names.
func TestTheStepsOfThePackageComment(t *testing.T) {
	var events []alloc.Event
	h, err := New(region(t, 1<<20, arena.GoHeap), &Options{Sink: func(e alloc.Event) { events = append(events, e) }})
	require.NoError(t, err)

	b, err := h.Malloc(40)
	require.NoError(t, err)
	require.Len(t, b, 40)
	require.Equal(t, 40, cap(b))
	require.Equal(t, 40, h.Usable(b), "40 bytes and a tag of 8 make 48, a multiple of 16")
	commits := 0
	for _, e := range events {
		if e.Kind == alloc.EventCommit {
			commits++
			require.GreaterOrEqual(t, e.Size, 64<<10, "the heap grows by 64 KiB")
		}
	}
	require.Equal(t, 1, commits)

	// A free block of 64 bytes is taken whole, one of 80 is split.
	for _, c := range []struct{ hole, rest int }{{64, 0}, {80, 32}} {
		hole, err := h.Malloc(c.hole - 8)
		require.NoError(t, err)
		wall, err := h.Malloc(40)
		require.NoError(t, err)
		h.Free(hole)
		require.Equal(t, c.hole, h.FreeList()[0].Size, "the freed block is at the list's head")
		got, err := h.Malloc(40)
		require.NoError(t, err)
		require.Equal(t, &hole[0], &got[0])
		require.Equal(t, c.hole-c.rest-8, h.Usable(got))
		if c.rest != 0 {
			require.Equal(t, c.rest, h.FreeList()[0].Size, "the rest keeps its place on the list")
		}
		h.Free(got)
		h.Free(wall)
	}
	h.Free(b)
	require.Len(t, h.FreeList(), 1, "all neighbours are joined")
	require.NoError(t, h.Check())
	require.NoError(t, h.Close())
}
