package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
)

// TestEvents: what the sink is told is what happened, in order.
func TestEvents(t *testing.T) {
	var got []alloc.Event
	h := fresh(t, 4<<20, &Options{Classes: []int{}, Sink: func(e alloc.Event) {
		switch e.Kind {
		case alloc.EventRead, alloc.EventWrite, alloc.EventCommit, alloc.EventDecommit:
		default:
			got = append(got, e)
		}
	}})
	a, b, c := must(t, h, 40_000), must(t, h, 50_000), must(t, h, 16) // too large for the quick lists
	off := func(b []byte) uint64 { return uint64(addrOf(b) - addrOf(h.mem)) }
	h.Free(a)
	h.Free(b)
	d := must(t, h, 50)
	d, err := h.Realloc(d, 60)
	require.NoError(t, err)
	_, err = h.Malloc(1 << 30)
	require.Error(t, err)
	want := []alloc.Event{
		{Kind: alloc.EventMalloc, Off: offset(off(a)), Size: 40_000, Usable: 40_000},
		{Kind: alloc.EventMalloc, Off: offset(off(b)), Size: 50_000, Usable: 50_000},
		{Kind: alloc.EventMalloc, Off: offset(off(c)), Size: 16, Usable: 64},
		{Kind: alloc.EventFree, Off: offset(off(a)), Usable: 40_000},
		{Kind: alloc.EventFree, Off: offset(off(b)), Usable: 50_000},
		{Kind: alloc.EventCoalesce, Off: offset(off(a)), Size: 90_000},
		{Kind: alloc.EventSplit, Off: offset(off(a)), Size: 90_000 - 64, Usable: 90_000},
		{Kind: alloc.EventMalloc, Off: offset(off(d)), Size: 50, Usable: 64},
		{Kind: alloc.EventRealloc, Old: offset(off(d)), Off: offset(off(d)), Size: 60, Usable: 64},
		{Kind: alloc.EventFailed, Size: 1 << 30},
	}
	require.Equal(t, want, got)
}

// TestEventsAgree: a model that only hears the events knows the live blocks, and
// every access lies in the region.
func TestEventsAgree(t *testing.T) {
	live, commit := map[uint64]int{}, 0
	h := fresh(t, 16<<20, &Options{Sink: func(e alloc.Event) {
		switch e.Kind {
		case alloc.EventMalloc, alloc.EventCalloc:
			live[uint64(e.Off)] = e.Usable
		case alloc.EventRealloc:
			delete(live, uint64(e.Old))
			live[uint64(e.Off)] = e.Usable
		case alloc.EventFree:
			delete(live, uint64(e.Off))
		case alloc.EventCommit:
			commit++
		case alloc.EventRead, alloc.EventWrite:
			if uint64(e.Off)+uint64(e.Size) > 16<<20 {
				t.Errorf("access to %#x, %d bytes", e.Off, e.Size)
			}
		}
	}})
	o := alloctest.NewOracle(h)
	for _, op := range alloctest.RandomOps(11, alloctest.Mix{Ops: 3000, MaxSize: 30000}) {
		if err := o.Do(op); err != nil {
			t.Fatal(err)
		}
	}
	want := map[uint64]int{}
	for b := range h.Blocks() {
		if b.Used {
			want[uint64(b.Off)] = b.Size
		}
	}
	require.Equal(t, want, live)
	require.Positive(t, commit)
	require.NoError(t, o.FreeAll())
}

// TestGuardedEvents: no access is reported to a page that nobody can touch.
func TestGuardedEvents(t *testing.T) {
	var off []uint64
	h := guardedHeap(t, Options{Guard: GuardOptions{Front: true}, Sink: func(e alloc.Event) {
		if e.Kind == alloc.EventRead || e.Kind == alloc.EventWrite {
			off = append(off, uint64(e.Off))
		}
	}})
	for _, size := range []int{0, 1, 5000} {
		off = nil
		b := must(t, h, size)
		guard := uint64(at(h, b)) - h.pageSize
		require.True(t, h.chk.guards.covers(guard))
		h.Free(b)
		require.NotEmpty(t, off)
		for _, o := range off {
			require.False(t, o >= guard && o < guard+h.pageSize, "size %d: access at %#x, guard at %#x", size, o, guard)
		}
	}
}

// TestShrinkEvent: the sink hears that ZeroOnFree clears the end that Realloc cuts off.
func TestShrinkEvent(t *testing.T) {
	var cleared [][2]uint64
	h := fresh(t, 4<<20, &Options{Classes: []int{}, ZeroOnFree: true, Sink: func(e alloc.Event) {
		if e.Kind == alloc.EventWrite && e.Size > 64 { // not its own words
			cleared = append(cleared, [2]uint64{uint64(e.Off), uint64(e.Size)})
		}
	}})
	b := must(t, h, 40_000)
	must(t, h, 16)
	b, err := h.Realloc(b, 20_000)
	require.NoError(t, err)
	require.Equal(t, [][2]uint64{{uint64(at(h, b)) + 20_000, 20_000}}, cleared)
}
