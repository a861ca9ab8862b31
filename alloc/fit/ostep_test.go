package fit

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
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
	for _, bad := range []OSTEPOptions{{Policy: Next, Size: 1}, {Order: 9, Size: 1}, {Size: 0}, {Size: 1, Header: -1}, {Size: 1, Align: -1}, {Size: 1, Base: -1}} {
		_, err := NewOSTEP(bad)
		require.ErrorIs(t, err, ErrOptions)
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
			blocks := h.FreeList()
			for addr, size := range h.allocated {
				blocks = append(blocks, OSTEPBlock{addr, size})
			}
			slices.SortFunc(blocks, func(a, b OSTEPBlock) int { return a.Addr - b.Addr })
			at := o.Base
			for _, b := range blocks {
				require.Equal(t, at, b.Addr)
				at += b.Size
			}
			require.Equal(t, o.Base+o.Size, at)
			require.Len(t, h.allocated, len(live))
		}
	}
}
