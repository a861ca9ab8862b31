package replay

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/bench/corpus"
)

func TestFilmOfABumpHeap(t *testing.T) {
	tr := program(t, "a 0 4096;a 1 4096;a 2 2048;f 1;a 3 16;f 0")
	p, err := Compile(tr)
	require.NoError(t, err)
	e := entry(nil)
	e.New = func(Config) (Heap, error) {
		mem := make([]byte, 1<<16)
		return &testHeap{mem: mem, off: int(-address(mem) & (pageSize - 1))}, nil
	}
	f, err := Shoot(p, e, Config{})
	require.NoError(t, err)
	r := f.Raster
	require.Equal(t, 3, r.Rows)
	require.Equal(t, 6, r.Cols)
	require.Empty(t, r.Gaps)
	at := func(row int) (shares []uint8) { return r.Share[row*r.Cols : (row+1)*r.Cols] }
	require.Equal(t, []uint8{255, 255, 255, 255, 255, 0}, at(0))
	require.Equal(t, []uint8{0, 255, 255, 0, 0, 0}, at(1))
	require.Equal(t, []uint8{0, 0, 127, 127, 128, 128}, at(2))
	require.Equal(t, []bool{false, true, true, true, true, true}, r.Touched[r.Cols:2*r.Cols])
	require.Equal(t, 3, f.Peak.Op)
	require.Equal(t, []float64{1, 1, 0.5}, f.Peak.Cells)
	require.Equal(t, []Piece{{0, 4096, true}, {4096, 2048, true}, {6144, 2048, false}}, f.Peak.Zoom)
}

func TestFilmConservesLivePayload(t *testing.T) {
	tr, err := corpus.Open("git-log")
	require.NoError(t, err)
	p, err := Compile(tr.Head(20000))
	require.NoError(t, err)
	for _, e := range Known() {
		f, err := Shoot(p, e, Config{})
		require.NoError(t, err, e.Name)
		sum := 0.0
		for _, share := range f.Peak.Cells {
			sum += share / float64(len(f.Peak.Cells))
		}
		pages := float64(f.Raster.Bytes())
		require.InDelta(t, float64(p.PeakLive)/pages, sum, 0.02, "%s: live payload at the peak", e.Name)
		at := 0
		for _, z := range f.Peak.Zoom {
			require.Equal(t, at, z.Off, "%s: zoom pieces tile", e.Name)
			at += z.Size
		}
		require.Equal(t, zoomSize, at)
	}
}

func TestFilmStops(t *testing.T) {
	p, err := Compile(program(t, "a 0 8"))
	require.NoError(t, err)
	_, err = Shoot(p, entry(nil), Config{Stop: func() bool { return true }})
	require.ErrorIs(t, err, ErrStopped)
}
