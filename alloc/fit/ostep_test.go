package fit

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// The oddities of malloc.py that the doc comment lists, one by one.
func TestOSTEPOddities(t *testing.T) {
	open := func(o OSTEPOptions) *OSTEP {
		o.Size, o.Base = 100, 1000
		h, err := NewOSTEP(o)
		require.NoError(t, err)
		return h
	}
	t.Run("split_keeps_its_place", func(t *testing.T) {
		h := open(OSTEPOptions{Order: SizeAscending})
		a, _ := h.Malloc(30)
		h.Malloc(1)
		h.Free(a)
		require.Equal(t, []OSTEPBlock{{1000, 30}, {1031, 69}}, h.FreeList())
		h.Malloc(35) // from the second
		h.Malloc(31)
		require.Equal(t, []OSTEPBlock{{1000, 30}, {1097, 3}}, h.FreeList(), "out of order until the next free")
	})
	t.Run("coalesces_along_the_list", func(t *testing.T) {
		for order, want := range map[Order][]OSTEPBlock{
			Address: {{1000, 100}},
			Front:   {{1010, 10}, {1000, 10}, {1020, 80}},
			Back:    {{1020, 80}, {1000, 20}},
		} {
			h := open(OSTEPOptions{Order: order, Coalesce: true})
			a, _ := h.Malloc(10)
			b, _ := h.Malloc(10)
			h.Free(a)
			h.Free(b)
			require.Equal(t, want, h.FreeList(), "%v", order)
		}
	})
	t.Run("searches", func(t *testing.T) {
		for policy, want := range map[Policy]int{First: 1, Best: 2, Worst: 2} {
			h := open(OSTEPOptions{Policy: policy, Order: Address})
			a, _ := h.Malloc(10)
			h.Free(a)
			_, searched := h.Malloc(5)
			require.Equal(t, want, searched, "%v", policy)
			_, searched = h.Malloc(101)
			require.GreaterOrEqual(t, searched, 1, "a failed search counts")
		}
	})
	t.Run("free_of_nothing", func(t *testing.T) {
		h := open(OSTEPOptions{})
		require.False(t, h.Free(1000))
		a, _ := h.Malloc(1)
		require.True(t, h.Free(a))
		require.False(t, h.Free(a))
		require.False(t, h.Free(-1))
	})
	t.Run("header_and_alignment", func(t *testing.T) {
		h := open(OSTEPOptions{Header: 4, Align: 8})
		a, _ := h.Malloc(5)
		require.Equal(t, 1000, a)
		require.Equal(t, []OSTEPBlock{{1012, 88}}, h.FreeList())
	})
	t.Run("blocks_of_no_bytes", func(t *testing.T) {
		h := open(OSTEPOptions{})
		for _, size := range []int{0, 0, 10, 0, 5} {
			h.Malloc(size)
		}
		want := []alloc.Block{{Off: 1000, Size: 10, Used: true}, {Off: 1010, Size: 5, Used: true}, {Off: 1015, Size: 85}}
		require.Equal(t, want, slices.Collect(h.Blocks()))
		require.True(t, h.Free(1000))
		require.False(t, h.Free(1000), "it was one block")
		require.Equal(t, []OSTEPBlock{{1000, 10}, {1015, 85}}, h.FreeList())
	})
	t.Run("no_bytes_where_a_block_is", func(t *testing.T) {
		h := open(OSTEPOptions{Order: Back})
		h.Malloc(0)
		require.True(t, h.Free(1000))
		a, _ := h.Malloc(10)
		h.o.Policy = Best
		b, _ := h.Malloc(0) // the one freed
		require.Equal(t, a, b)
		require.True(t, h.Free(a))
		require.Equal(t, []OSTEPBlock{{1010, 90}, {1000, 10}}, h.FreeList(), "no byte is lost")
	})
}

func TestOSTEPLimits(t *testing.T) {
	const most = math.MaxInt
	for _, tt := range []struct {
		o    OSTEPOptions
		want string
	}{
		{OSTEPOptions{Policy: Next, Size: 1}, "no policy next"},
		{OSTEPOptions{Order: 9, Size: 1}, "order 9"},
		{OSTEPOptions{Size: 0}, "size of 0 bytes"},
		{OSTEPOptions{Size: 1, Header: -1}, "header of -1 bytes, want 0 to 1"},
		{OSTEPOptions{Size: 100, Header: 101}, "header of 101 bytes, want 0 to 100"},
		{OSTEPOptions{Size: 100, Header: most}, "header of"},
		{OSTEPOptions{Size: 1, Align: -1}, "alignment -1, want 0 to 1"},
		{OSTEPOptions{Size: 100, Align: most}, "alignment"},
		{OSTEPOptions{Size: 1, Base: -1}, "base -1"},
		{OSTEPOptions{Size: 100, Base: most - 99}, "base"},
		{OSTEPOptions{Size: most, Base: 1}, "base 1"},
	} {
		_, err := NewOSTEP(tt.o)
		require.ErrorIs(t, err, ErrOptions, "%+v", tt.o)
		require.ErrorContains(t, err, tt.want)
	}
	// At the limits no sum overflows.
	for _, o := range []OSTEPOptions{
		{Size: 100, Base: most - 100, Header: 100, Align: 100},
		{Size: most, Header: most, Align: most},
		{Size: most, Header: most - 1, Align: most - 1},
		{Size: most, Align: most - 1},
	} {
		for _, size := range []int{most, most - 1, o.Size, 1, 0} {
			h, err := NewOSTEP(o)
			require.NoError(t, err)
			addr, searched := h.Malloc(size)
			require.Equal(t, 1, searched)
			if addr >= 0 {
				require.Equal(t, o.Base, addr)
				require.True(t, h.Free(addr))
			}
			total := 0
			for b := range h.Blocks() {
				require.GreaterOrEqual(t, b.Size, 0)
				total += b.Size
			}
			require.Equal(t, o.Size, total, "%+v, %d bytes", o, size)
		}
	}
}

// Whatever the options, free and allocated blocks tile the heap.
func TestOSTEPTiles(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		o := OSTEPOptions{Policy: []Policy{First, Best, Worst}[rng.IntN(3)], Order: Order(rng.IntN(5)),
			Coalesce: rng.IntN(2) == 0, Header: rng.IntN(9), Align: rng.IntN(9), Size: 500, Base: 1000}
		h, err := NewOSTEP(o)
		require.NoError(t, err)
		var live []int
		for range 100 {
			if len(live) > 0 && rng.IntN(2) == 0 {
				i := rng.IntN(len(live))
				require.True(t, h.Free(live[i]))
				live = slices.Delete(live, i, i+1)
			} else if addr, _ := h.Malloc(1 + rng.IntN(60)); addr >= 0 {
				live = append(live, addr)
			}
			at := o.Base
			for b := range h.Blocks() {
				require.EqualValues(t, at, b.Off)
				at += b.Size
			}
			require.Equal(t, o.Base+o.Size, at)
			require.Len(t, h.allocated, len(live))
		}
	}
}
