package segregated

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMarks: what the marks of a row say of each of its granules, read one by one and all at
// once.
func TestMarks(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		var row, starts, used uint64
		in := rng.IntN(2) == 0
		on, kinds := in, map[uint64]uint64{}
		for g := rng.Uint64N(9); g < unitGranules; g += minSpan + rng.Uint64N(20) {
			as := []uint64{asUsed, asFree, asKept}[rng.IntN(3)]
			row |= mark(as, g)
			kinds[g] = as
		}
		for g := range uint64(unitGranules) {
			as, ok := kinds[g]
			require.Equal(t, ok, isStart(row, g))
			for _, a := range []uint64{asUsed, asFree, asKept} {
				require.Equal(t, ok && a == as, isMarked(row, a, g))
			}
			if ok {
				on = as != asFree
				starts |= 1 << g
			}
			if on {
				used |= 1 << g
			}
		}
		mask, after := usedMask(row, in)
		require.Equal(t, used, mask)
		require.Equal(t, on, after)
		if row != 0 {
			first, last := firstStart(row), lastStart(row)
			require.NotZero(t, starts>>first&1)
			require.Zero(t, starts&(1<<first-1))
			require.Equal(t, starts, starts<<(63-last)>>(63-last))
			require.Equal(t, row&^(markMask<<(first&cellMask)), withoutFirst(row))
			require.Equal(t, row, marksBefore(row, last)|mark(kinds[last], last))
		}
	}
}
