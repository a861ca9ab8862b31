package fit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"policy 9":      {Policy: 9},
		"order 9":       {Order: 9},
		"coalescing 9":  {Coalesce: 9},
		"implicit":      {Implicit: true, Order: SizeAscending},
		"header of 4":   {Header: 4},
		"header of 12":  {Header: 12},
		"header of 264": {Header: 264},
		"alignment 24":  {Align: 24},
		"alignment 4":   {Align: 4},
		"alignment 512": {Align: 512},
		"limit -1":      {Limit: -1},
		"growth -1":     {Grow: -1},
	} {
		_, err := New(region(t, 1<<16, arena.GoHeap), &o)
		require.ErrorIs(t, err, ErrOptions, name)
		require.ErrorContains(t, err, name)
	}
	_, err := NewTLSF(nil, &Options{Policy: Best})
	require.ErrorIs(t, err, ErrOptions)
	_, err = NewBuddy(nil, &Options{Header: 8})
	require.ErrorIs(t, err, ErrOptions)
	_, err = NewBuddy(nil, &Options{Coalesce: Never})
	require.ErrorIs(t, err, ErrOptions)
}

func TestNames(t *testing.T) {
	for p := First; p <= Worst; p++ {
		got, err := ParsePolicy(p.String())
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
	for o := Front; o <= SizeDescending; o++ {
		got, err := ParseOrder(o.String())
		require.NoError(t, err)
		require.Equal(t, o, got)
	}
	for c := Immediate; c <= Never; c++ {
		got, err := ParseCoalesce(c.String())
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
	for s, want := range map[string]Order{"INSERT-FRONT": Front, "insert-back": Back, "ADDRSORT": Address,
		"SIZESORT+": SizeAscending, "SIZESORT-": SizeDescending} {
		got, err := ParseOrder(s)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Equal(t, "?7", Policy(7).String())
}

// Regions of every size and at every address either make a sound heap or are
// refused with ErrSize.
func TestTinyRegions(t *testing.T) {
	buf := make([]byte, 2048)
	for i := range buf {
		buf[i] = 0xff // dirty
	}
	for size := range 400 {
		for shift := range 20 {
			for name, open := range openers {
				h, err := open(arena.FromBytes(buf[shift:][:size:size]), nil)
				if err != nil {
					require.ErrorIs(t, err, alloc.ErrSize, "%s %d", name, size)
					require.Less(t, size, 100, "%s", name)
					continue
				}
				b, err := h.Malloc(10)
				require.NoError(t, err)
				require.Zero(t, addr(b)%8)
				require.NoError(t, h.Check(), "%s, %d bytes at %d", name, size, shift)
				h.Free(b)
				require.NoError(t, h.Close())
			}
		}
	}
}

// A nil region is one of the heap's own, released by Close.
func TestOwnRegion(t *testing.T) {
	for name, open := range openers {
		h, err := open(nil, nil)
		require.NoError(t, err, name)
		b, err := h.Malloc(10 << 20)
		require.NoError(t, err)
		b[0], b[len(b)-1] = 1, 2
		require.NoError(t, h.Check())
		h.Free(b)
		require.Less(t, h.Stats().Committed, 1<<20, "%s gives the pages back", name)
		require.NoError(t, h.Close())
		require.Nil(t, h.Region().Bytes())
	}
}

// A heap works on every backing there is.
func TestBackings(t *testing.T) {
	for _, o := range []*arena.Options{
		{Backing: arena.Mmap}, {Backing: arena.GoHeap}, {Backing: arena.Mmap, Guard: true},
		{Backing: arena.File, Path: t.TempDir() + "/heap"},
	} {
		for name, open := range openers {
			r, err := arena.Reserve(4<<20, o)
			require.NoError(t, err)
			h, err := open(r, nil)
			require.NoError(t, err, name)
			blocks := mallocs(t, h, 10, 100000, 1<<20, 40)
			for _, b := range blocks {
				b[len(b)-1] = 9
				h.Free(b)
			}
			require.NoError(t, h.Check())
			require.NoError(t, h.Close())
			require.NoError(t, r.Close())
		}
	}
}

// The mapping of sizes to lists, on its boundaries.
func TestMapping(t *testing.T) {
	tests := []struct{ size, first, second int }{
		{32, 5, 0}, {34, 5, 1}, {48, 5, 8}, {63, 5, 15}, {64, 6, 0}, {0x1a0, 8, 10}, {511, 8, 15}, {512, 9, 0},
	}
	for _, tt := range tests {
		f, s := mapping(tt.size)
		require.Equal(t, [2]int{tt.first, tt.second}, [2]int{f, s}, "mapping(%d)", tt.size)
	}
}

// TLSF never takes a block that is more than a sixteenth too large when one
// closer exists.
func TestTLSFIsGoodFit(t *testing.T) {
	h, err := NewTLSF(region(t, 1<<20, arena.GoHeap), nil)
	require.NoError(t, err)
	var holes [][]byte
	for n := 200; n < 2000; n += 40 {
		b := mallocs(t, h, n, 16)
		holes = append(holes, b[0])
	}
	for _, b := range holes {
		h.Free(b)
	}
	for n := 210; n < 1700; n += 210 {
		b := mallocs(t, h, n)[0]
		require.LessOrEqual(t, h.Usable(b), n+n/8+64, "%d", n)
	}
}

func TestSearchedCounts(t *testing.T) {
	h := threeFree(t, &Options{Policy: Best})
	_, err := h.Malloc(40)
	require.NoError(t, err)
	require.Equal(t, 3, h.Searched(), "best fit looks at the whole list")
	h = threeFree(t, &Options{Implicit: true})
	_, err = h.Malloc(100)
	require.NoError(t, err)
	require.Equal(t, 4, h.Searched(), "an implicit list is walked block by block")
}
