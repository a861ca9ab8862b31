package trace

import (
	"bytes"
	"hash/fnv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestPatternsAreSoundAndFreeEverything(t *testing.T) {
	for _, p := range AllocPatterns() {
		t.Run(p.Name, func(t *testing.T) {
			for _, ops := range []int{1, 10, 5000, 60000} {
				tr, err := Generate(p.Name, 1, ops)
				require.NoError(t, err)
				require.NoError(t, tr.Check())
				if ops >= 5000 {
					require.InDelta(t, ops, len(tr.Ops), float64(ops)/20, "length")
				}
				live := 0
				for _, o := range tr.Ops {
					switch o.Kind {
					case Malloc:
						live++
					case Free:
						live--
					}
				}
				require.Zero(t, live)
				require.Equal(t, tr.PeakLive(), tr.Suggested)
			}
		})
	}
}

// The fingerprints hold the promise that a seed means one trace for ever.
func TestPatternsNeverChange(t *testing.T) {
	now := map[string]uint32{}
	for _, p := range AllocPatterns() {
		tr, err := Generate(p.Name, 7, 4000)
		require.NoError(t, err)
		var buf bytes.Buffer
		require.NoError(t, WriteRep(&buf, tr))
		h := fnv.New32a()
		h.Write(buf.Bytes())
		now[p.Name] = h.Sum32()
	}
	golden := map[string]uint32{
		"binary": 4093101147, "binary2": 166290091, "coalescing": 3989074588, "realloc": 2107261956, "realloc2": 865656121,
		"random": 3960170929, "needle": 3749387593, "larson": 3682287596, "xmalloc": 1052192310, "cache": 2861173592,
		"fifo": 3814590951,
	}
	if d := cmp.Diff(golden, now); d != "" {
		t.Errorf("fingerprints (-golden +now):\n%s", d)
	}
}

func TestPatternSeedsDiffer(t *testing.T) {
	for _, name := range []string{"random", "needle", "larson", "xmalloc", "cache", "fifo"} {
		a, err := Generate(name, 1, 6000)
		require.NoError(t, err)
		b, err := Generate(name, 2, 6000)
		require.NoError(t, err)
		require.NotEqual(t, a.Ops, b.Ops, name)
	}
}

func TestGenerateRefuses(t *testing.T) {
	_, err := Generate("nosuch", 1, 10)
	require.EqualError(t, err, `trace: no pattern "nosuch"; there are binary, binary2, coalescing, realloc, realloc2, random, needle, larson, xmalloc, cache, fifo`)
	_, err = Generate("binary", 1, 0)
	require.ErrorContains(t, err, "want 1 to")
}

func TestCachePatternsKeepTheirBudget(t *testing.T) {
	for _, name := range []string{"cache", "fifo"} {
		tr, err := Generate(name, 1, 200000)
		require.NoError(t, err)
		peak := tr.PeakLive()
		require.LessOrEqual(t, peak, int64(8<<20), name)
		require.Greater(t, peak, int64(7<<20), name)
	}
}

func TestFIFOPatternFreesInOrderOfBirth(t *testing.T) {
	tr, err := Generate("fifo", 1, 200000)
	require.NoError(t, err)
	next := int32(0)
	for i, op := range tr.Ops {
		if op.Kind == Free {
			require.Equal(t, next, op.ID, "operation %d", i)
			next++
		}
	}
	require.EqualValues(t, tr.IDs, next)
}
