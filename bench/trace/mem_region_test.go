package trace

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// The first and the last address of each stretch that RegionCounts tells apart.
func TestRegionBoundaries(t *testing.T) {
	for _, tt := range []struct {
		addr uint64
		want string
	}{
		{0, "program and heap"}, {0x3ffffff, "program and heap"},
		{0x4000000, "mapped"}, {0x1ffdffffff, "mapped"},
		{0x1ffe000000, "stack"}, {0x1fffffffff, "stack"},
		{0x2000000000, "program and heap"}, {0x7dffffffffff, "program and heap"},
		{0x7e0000000000, "mapped"}, {0x7fefffffffff, "mapped"},
		{0x7ff000000000, "stack"}, {0x7fffffffffff, "stack"},
		{0x800000000000, "kernel"}, {^uint64(0), "kernel"},
	} {
		c := NewRegionCounts(12)
		c.Add([]Ref{{Addr: tt.addr}})
		got := c.Regions()
		require.Len(t, got, 1, "%#x", tt.addr)
		require.Equal(t, tt.want, got[0].Name, "%#x", tt.addr)
	}
}

func TestRegionCounts(t *testing.T) {
	c := NewRegionCounts(12)
	c.Add([]Ref{
		{Addr: 0x1ffeff0000, Kind: RefStore}, {Addr: 0x1ffeff0008, Kind: RefLoad}, // one page
		{Addr: 0x400000, Kind: RefInstr}, {Addr: 0x401000, Kind: RefInstr},
	})
	c.Add([]Ref{{Addr: 0x400010, Kind: RefModify}}) // a page seen before
	want := []Region{
		{Name: "program and heap", Pages: 2, Kinds: [4]int64{RefInstr: 2, RefModify: 1}},
		{Name: "stack", Pages: 1, Kinds: [4]int64{RefLoad: 1, RefStore: 1}},
	}
	require.Empty(t, cmp.Diff(want, c.Regions()))
}

func ExampleRegionCounts() {
	c := NewRegionCounts(12) // pages of 4 KiB
	c.Add([]Ref{{Addr: 0x1000}, {Addr: 0x1008}, {Addr: 0x7ffffffde000, Kind: RefStore}})
	for _, r := range c.Regions() {
		fmt.Println(r.Name, r.Pages, "page")
	}
	// Output:
	// program and heap 1 page
	// stack 1 page
}
