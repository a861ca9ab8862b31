package fit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// What Realloc does with a block, given what stands behind it.
func TestReallocPlace(t *testing.T) {
	const unit = 16
	tests := []struct {
		name   string
		behind string // "used", "free" (of 10 units), "end" of the heap
		from   int    // units of payload
		to     int
		moves  bool
	}{
		{"same", "used", 6, 6, false},
		{"slack is used first", "used", 6, 6, false},
		{"shrinks in place", "used", 12, 4, false},
		{"shrinks by too little to split", "used", 6, 5, false},
		{"grows into the free neighbour", "free", 6, 10, false},
		{"takes the whole neighbour", "free", 6, 16, false},
		{"grows beyond the neighbour", "free", 6, 40, true},
		{"a used neighbour is in the way", "used", 6, 10, true},
		{"the end of the heap moves", "end", 6, 3000, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var events []alloc.Event
			h, err := New(region(t, 1<<20, arena.GoHeap), &Options{Grow: 4096,
				Sink: func(e alloc.Event) { events = append(events, e) }})
			require.NoError(t, err)
			b := mallocs(t, h, tt.from*unit-h.o.Header)[0]
			if tt.behind != "end" {
				next := mallocs(t, h, 10*unit-h.o.Header, 40)[0]
				if tt.behind == "free" {
					h.Free(next)
				}
			}
			for i := range b {
				b[i] = byte(i)
			}
			size := tt.to*unit - h.o.Header
			events = nil
			n, err := h.Realloc(b, size)
			require.NoError(t, err)
			require.NoError(t, h.Check())
			require.Equal(t, tt.moves, addr(n) != addr(b))
			require.Len(t, n, size)
			require.Equal(t, size, cap(n))
			for i := range min(len(b), size) {
				require.Equal(t, byte(i), n[i], "byte %d", i)
			}
			last := events[len(events)-1]
			require.Equal(t, alloc.EventRealloc, last.Kind)
			require.EqualValues(t, offsetOf(h, b), last.Old)
			require.EqualValues(t, offsetOf(h, n), last.Off)
			require.Equal(t, size, last.Size)
			require.Equal(t, h.Usable(n), last.Usable)
			if tt.moves {
				wantFault(t, h, alloc.ErrDoubleFree, func() { h.Free(b) })
			}
			h.Free(n)
		})
	}
}

// The block keeps its alignment, in place and when it moves.
func TestReallocAlignedMovesOnlyIfItMust(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			h, err := open(region(t, 1<<20, arena.GoHeap), nil)
			require.NoError(t, err)
			b, err := h.MallocAligned(100, 1024)
			require.NoError(t, err)
			same, err := h.ReallocAligned(b, 60, 1024)
			require.NoError(t, err)
			require.Equal(t, addr(b), addr(same))
			var odd []byte
			for range 40 { // a block that is not aligned to 1024
				if odd = mallocs(t, h, 40)[0]; addr(odd)%1024 != 0 {
					break
				}
			}
			odd[7] = 77
			moved, err := h.ReallocAligned(odd, 20, 1024)
			require.NoError(t, err)
			require.Zero(t, addr(moved)%1024, "also when it would fit where it is")
			require.EqualValues(t, 77, moved[7])
			require.NoError(t, h.Check())
		})
	}
}

// In place or not, the counters follow.
func TestReallocCounts(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			h, err := open(region(t, 1<<20, arena.GoHeap), nil)
			require.NoError(t, err)
			b := mallocs(t, h, 100, 100)[0]
			for _, n := range []int{50, 200, 3000, 1, 0} {
				var err error
				b, err = h.Realloc(b, n)
				require.NoError(t, err)
				s := h.Stats()
				require.Equal(t, 100+n, s.Requested)
				if n > 0 {
					require.Equal(t, 2, s.LiveBlocks)
					require.GreaterOrEqual(t, h.Usable(b), n)
				} else {
					require.Equal(t, 1, s.LiveBlocks)
				}
				require.EqualValues(t, s.LiveBlocks, s.Mallocs-s.Frees)
			}
		})
	}
}
