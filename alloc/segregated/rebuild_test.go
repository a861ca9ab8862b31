package segregated

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// TestRebuildWithinLimit: a heap that was not closed is opened with the limits that it
// was made with, however much of its data was given back, inside and at the end.
func TestRebuildWithinLimit(t *testing.T) {
	const limit = 2 << 20
	for name, o := range map[string]struct {
		heap   Options
		region int
	}{
		"of the heap":         {heap: Options{Limit: limit}},
		"of the region":       {region: limit},
		"of a checked heap":   {heap: Options{Limit: limit, Mode: Checked, Quarantine: -1}},
		"in a checked region": {heap: Options{Mode: Checked, Quarantine: -1}, region: limit},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "heap")
			fileRegion(t, path, 16<<20).Close() // skips where there are none
			ro := &arena.Options{Backing: arena.File, Path: path, Limit: o.region}
			r, err := arena.Reserve(16<<20, ro)
			require.NoError(t, err)
			h, err := New(r, &o.heap)
			require.NoError(t, err)
			var kept []arena.Offset
			last := must(t, h, 400<<10)
			for i := range 20 { // each block fits into no gap, and leaves one
				next := must(t, h, (400+16*(i+1))<<10)
				last, err = h.Realloc(last, 3000)
				require.NoError(t, err)
				fill(last, byte(i))
				kept = append(kept, h.Offset(last))
				h.Trim()
				last = next
			}
			require.Greater(t, h.top-h.first, uint64(limit>>granuleShift), "more than could be had at once")
			top, committed := h.top, h.Stats().Committed
			require.NoError(t, r.Close())

			r, err = arena.Reserve(16<<20, ro)
			require.NoError(t, err)
			defer r.Close()
			h, err = Open(r, &Options{Limit: o.heap.Limit, Mode: o.heap.Mode})
			require.NoError(t, err)
			defer h.Close()
			require.LessOrEqual(t, h.Stats().Committed, committed)
			require.LessOrEqual(t, h.top, top)
			for i, off := range kept {
				b, err := h.At(off)
				require.NoError(t, err)
				require.NoError(t, filled(b[:3000], byte(i)))
			}
			require.NoError(t, h.Check())
		})
	}
}
