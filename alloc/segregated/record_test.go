package segregated

import (
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// A listener knows of a heap only what its events say.
type listener struct {
	region int
	live   map[arena.Offset]int // usable bytes by offset
	pages  map[uint64]bool      // committed, by number
	page   uint64
	count  map[alloc.EventKind]int
	wrong  string // the first event that made no sense
}

func newListener(size, page int) *listener {
	return &listener{region: size, page: uint64(page), live: map[arena.Offset]int{}, pages: map[uint64]bool{}, count: map[alloc.EventKind]int{}}
}

func (l *listener) complain(e alloc.Event, format string, args ...any) {
	if l.wrong == "" {
		l.wrong = fmt.Sprintf("%v %+v: ", e.Kind, e) + fmt.Sprintf(format, args...)
	}
}

// hear takes one event.
func (l *listener) hear(e alloc.Event) {
	l.count[e.Kind]++
	switch e.Kind {
	case alloc.EventMalloc, alloc.EventCalloc:
		l.begin(e)
	case alloc.EventFree:
		l.end(e, e.Off, e.Usable)
	case alloc.EventRealloc:
		if _, ok := l.live[e.Old]; !ok {
			l.complain(e, "no such block")
		}
		delete(l.live, e.Old)
		l.begin(e)
	case alloc.EventSplit:
		if e.Size <= 0 || e.Size >= e.Usable {
			l.complain(e, "kept %d of %d", e.Size, e.Usable)
		}
		l.inside(e, e.Usable)
	case alloc.EventCoalesce:
		l.inside(e, e.Size)
	case alloc.EventCommit, alloc.EventDecommit:
		l.inside(e, e.Size)
		for p := uint64(e.Off) / l.page; p*l.page < uint64(e.Off)+uint64(e.Size); p++ {
			if l.pages[p] == (e.Kind == alloc.EventCommit) {
				l.complain(e, "page %#x already is", p)
			}
			l.pages[p] = e.Kind == alloc.EventCommit
		}
	case alloc.EventRead, alloc.EventWrite:
		l.inside(e, e.Size)
		for p := uint64(e.Off) / l.page; e.Size > 0 && p <= (uint64(e.Off)+uint64(e.Size)-1)/l.page; p++ {
			if !l.pages[p] {
				l.complain(e, "page %#x is not committed", p)
			}
		}
	case alloc.EventMove:
		l.inside(e, e.Size)
		for i := range uint64(e.Size) / l.page {
			if from, to := uint64(e.Old)/l.page+i, uint64(e.Off)/l.page+i; !l.pages[from] || !l.pages[to] {
				l.complain(e, "page %#x or %#x is not committed", from, to)
			}
		}
	case alloc.EventFailed:
	default:
		l.complain(e, "unknown kind")
	}
}

// begin adds the block of e.
func (l *listener) begin(e alloc.Event) {
	if e.Usable < e.Size || e.Usable == 0 {
		l.complain(e, "usable %d", e.Usable)
	}
	l.inside(e, e.Usable)
	if _, ok := l.live[e.Off]; ok {
		l.complain(e, "there is a block already")
	}
	l.live[e.Off] = e.Usable
}

// end removes the block at off.
func (l *listener) end(e alloc.Event, off arena.Offset, usable int) {
	if l.live[off] != usable {
		l.complain(e, "the block had %d bytes", l.live[off])
	}
	delete(l.live, off)
}

// inside checks that e's range is in the region.
func (l *listener) inside(e alloc.Event, size int) {
	if size < 0 || uint64(e.Off)+uint64(size) > uint64(l.region) {
		l.complain(e, "outside of the region")
	}
}

// committed is the number of bytes that the events left committed.
func (l *listener) committed() int {
	n := 0
	for _, in := range l.pages {
		if in {
			n += int(l.page)
		}
	}
	return n
}

// TestEventsRebuild: after every operation the blocks and pages that the stream
// of events alone describes are those of the heap.
func TestEventsRebuild(t *testing.T) {
	for _, tc := range []struct {
		name string
		size int
		o    Options
		mix  alloctest.Mix
	}{
		{"default", 4 << 20, Options{}, alloctest.Mix{Ops: 1200, MaxSize: 3000}},
		{"no classes", 4 << 20, Options{Classes: []int{}}, alloctest.Mix{Ops: 1200, MaxSize: 3000}},
		{"zero on free", 4 << 20, Options{ZeroOnFree: true}, alloctest.Mix{Ops: 600, MaxSize: 20000}},
		{"small limit", 4 << 20, Options{Limit: 256 << 10}, alloctest.Mix{Ops: 1200, MaxSize: 60000}},
		{"tiny region", 96 << 10, Options{}, alloctest.Mix{Ops: 1200, MaxSize: 9000}},
		{"large blocks", 64 << 20, Options{}, alloctest.Mix{Ops: 400, MaxSize: 2 << 20, MaxLive: 10}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := arena.Reserve(tc.size, nil)
			require.NoError(t, err)
			l := newListener(tc.size, r.PageSize())
			tc.o.Sink = l.hear
			h, err := New(r, &tc.o)
			require.NoError(t, err)
			t.Cleanup(func() { h.Close(); r.Close() })
			o := alloctest.NewOracle(h)
			for i, op := range alloctest.RandomOps(17, tc.mix) {
				failed := l.count[alloc.EventFailed]
				err := o.Do(op)
				if err != nil {
					require.ErrorIs(t, err, alloc.ErrNoMemory)
					failed++
				}
				require.Equal(t, failed, l.count[alloc.EventFailed], "operation %d, %v", i, op)
				if i%97 == 0 {
					h.Trim()
				}
				agree(t, h, l, fmt.Sprintf("operation %d, %v", i, op))
			}
			require.NoError(t, o.FreeAll())
			h.Trim()
			agree(t, h, l, "at the end")
			require.Empty(t, l.live)
			for _, k := range []alloc.EventKind{alloc.EventMalloc, alloc.EventCalloc, alloc.EventRealloc, alloc.EventFree, alloc.EventSplit, alloc.EventCoalesce, alloc.EventCommit, alloc.EventDecommit} {
				require.Positive(t, l.count[k], "%v", k)
			}
			// Realloc(b, 0) is a free, Realloc(nil, n) a malloc; a move is neither.
			require.EqualValues(t, h.Stats().Failed, l.count[alloc.EventFailed])
		})
	}
}

// agree compares what l has heard with what h shows.
func agree(t *testing.T, h *Heap, l *listener, when string) {
	t.Helper()
	require.Empty(t, l.wrong, when)
	live := map[arena.Offset]int{}
	for b := range h.Blocks() {
		if b.Used {
			live[b.Off] = b.Size
		}
	}
	if !maps.Equal(live, l.live) {
		require.Equal(t, live, l.live, when)
	}
	require.Equal(t, h.Stats().Committed, l.committed(), when)
}

// TestSinkChangesNothing: on a heap that is listened to, contents and sizes agree
// with those on one that is not.
func TestSinkChangesNothing(t *testing.T) {
	ops := alloctest.RandomOps(51, alloctest.Mix{Ops: 3000, MaxSize: 5000})
	heap := func(o Options) func(testing.TB) alloc.Allocator {
		return func(t testing.TB) alloc.Allocator { return fresh(t, 8<<20, &o) }
	}
	alloctest.Differential(t, ops, map[string]func(testing.TB) alloc.Allocator{
		"plain":        heap(Options{}),
		"sink":         heap(Options{Sink: func(alloc.Event) {}}),
		"zero":         heap(Options{ZeroOnFree: true}),
		"none":         heap(Options{Classes: []int{}}),
		"few":          heap(Options{Classes: []int{16, 1024}}),
		"limit":        heap(Options{Limit: 4 << 20}),
		"limit, tight": heap(Options{Limit: 300 << 10}),
		"both":         heap(Options{ZeroOnFree: true, Sink: func(alloc.Event) {}}),
		"reference":    func(testing.TB) alloc.Allocator { return alloctest.Reference(0) },
	})
}

// TestEventsOfMove: the pages of a large block that moves leave one place and
// come to another, and the events say so.
func TestEventsOfMove(t *testing.T) {
	r, err := arena.Reserve(16<<20, nil)
	require.NoError(t, err)
	l := newListener(16<<20, r.PageSize())
	h, err := New(r, &Options{Sink: l.hear})
	require.NoError(t, err)
	t.Cleanup(func() { h.Close(); r.Close() })
	b := must(t, h, 500_000)
	must(t, h, 10)
	c, err := h.Realloc(b, 1<<20)
	require.NoError(t, err)
	require.NotEqual(t, addrOf(b), addrOf(c))
	agree(t, h, l, "moved")
	h.Free(c)
	h.Trim()
	agree(t, h, l, "freed")
}
