package segregated

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBinOf: bins ascend with size, hold what their neighbours do not, and
// large spans have bins of their own.
func TestBinOf(t *testing.T) {
	prev := 0
	for n := uint64(1); n < 1<<16; n++ {
		bin := binOf(n)
		require.True(t, bin == prev || bin == prev+1, "size %d: bin %d after %d", n, bin, prev)
		require.Equal(t, n >= infoMin, bin >= infoBin, "size %d", n)
		prev = bin
	}
	for e := 16; e < 40; e++ {
		require.Less(t, binOf(1<<e), numBins)
		require.Equal(t, binOf(1<<e-1)+1, binOf(1<<e))
	}
	require.Less(t, binOf(1<<40-1), numBins)
}

// TestSlotOf: the reciprocal of every class finds the slot of every offset of a
// run, and which offsets are bases.
func TestSlotOf(t *testing.T) {
	for size := uintptr(granule); size <= MaxClass; size += granule {
		c := newClass(size)
		slots := uintptr(c.numSlots())
		require.LessOrEqual(t, slots*size, c.units*unitSize, "class %d", size)
		require.LessOrEqual(t, c.units, uintptr(64))
		require.GreaterOrEqual(t, slots, uintptr(8), "runEdge and settleRun go by it that it is more than one")
		part := uintptr(runWaste)
		if size > classLarge {
			part = runWasteLarge
		}
		if waste := c.units*unitSize - slots*size; waste*part >= c.units*unitSize && c.units != 1 { // one unit has its links
			t.Errorf("class %d: %d units waste %d bytes", size, c.units, waste)
		}
		for off := range c.units * unitSize {
			x := uint64(off) * c.recip
			if got, want := uintptr(x>>32), off/size; got != want {
				t.Fatalf("class %d: offset %d is in slot %d, want %d", size, off, got, want)
			}
			if got, want := uint32(x) < uint32(c.recip), off%size == 0; got != want {
				t.Fatalf("class %d: offset %d is a base: %v, want %v", size, off, got, want)
			}
		}
	}
}

// TestSlotAfter: of all distances only the bases of a run's slots give the number of one.
func TestSlotAfter(t *testing.T) {
	for size := uintptr(granule); size <= MaxClass; size += granule {
		c := newSharedClass(1, size)
		check := func(distance uintptr) {
			got := slotAfter(distance, c.inverse, c.rot)
			if base := distance%size == 0 && distance/size < uintptr(c.slots); base != (got < c.slots) || base && got != uint64(distance/size) {
				t.Fatalf("class %d: distance %#x is slot %d of %d", size, distance, got, c.slots)
			}
		}
		for d := range c.units*unitSize + size {
			check(d)
			check(-d)
			check(d * size * 0x10001) // far away: multiples of size, and such that wrap around
			check(uintptr(bits.Reverse(uint(d))))
		}
	}
}

// TestGrid: up gives the next granule whose address has the alignment.
func TestGrid(t *testing.T) {
	for _, a := range []grid{anywhere(), onUnit(), {8, 3}, {256, 255}} {
		for g := range uint64(600) {
			up := a.up(g)
			require.GreaterOrEqual(t, up, g)
			require.Less(t, up-g, a.align)
			require.Zero(t, (up+a.bias)%a.align)
		}
	}
}

// TestBinSizes: sizesOf and sameBin say of bins and sizes what binOf says.
func TestBinSizes(t *testing.T) {
	end := uint64(exactBins) // of the sizes of the bin before
	for bin := exactBins; bin < numBins; bin++ {
		least, width := sizesOf(bin)
		require.Equal(t, end, least, "bin %d", bin)
		end = least + width
		require.Equal(t, bin, binOf(least))
		require.Equal(t, bin, binOf(end-1))
		for _, n := range []uint64{exactBins, least - 1, least, end - 1, end, 2*end - 1} {
			if n >= exactBins {
				require.Equal(t, binOf(n) == bin, sameBin(least, n), "%d and %d", least, n)
				require.Equal(t, binOf(n) == bin, sameBin(n, end-1), "%d and %d", n, end-1)
			}
		}
	}
}
