package segregated

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCompactCounts: what Compact believes to be used of a page stays between what is
// and a whole page, also of pages whose small runs become spans.
func TestCompactCounts(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		m := newMovables(fresh(t, 8<<20, nil))
		for range 12_000 {
			m.add(t, 32, 1)
			m.add(t, 48, 1)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for id := range m.next {
			b := m.block[id+1]
			off := uint64(addrOf(b) - addrOf(m.h.mem))
			if len(b) == 32 && rng.IntN(40) != 0 {
				m.free(id + 1)
			} else if len(b) == 48 && m.h.kinds[off>>unitShift] >= kindRun {
				if _, _, slot := m.h.slotOf(off); ahead && slot > 10 && rng.IntN(8) != 0 || !ahead && rng.IntN(3) != 0 {
					m.free(id + 1)
				}
			}
		}
		for range 2 {
			_, err := m.h.Compact(1<<30, func(from, to []byte) bool {
				return m.h.kinds[(addrOf(from)-addrOf(m.h.mem))>>unitShift] < kindRun && m.move(from, to)
			})
			require.NoError(t, err)
			c, in := m.h.compacting, false
			for i, used := range c.used {
				n := uint16(0)
				u := (c.lo + uint64(i)) * c.pageGranules / unitGranules
				for end := u + c.pageGranules/unitGranules; u < end && u <= c.top>>granuleBits; u++ {
					var more uint16
					more, in = c.usedOf(u, in)
					n += more
				}
				require.LessOrEqual(t, used, uint16(c.pageGranules))
				require.GreaterOrEqual(t, used, n)
			}
			require.NoError(t, m.verify())
		}
	}
}

// TestCompactWaste: where less than a tenth is wasted nothing moves.
func TestCompactWaste(t *testing.T) {
	for _, one := range []int{30, 5} { // of so many blocks is freed
		m := newMovables(fresh(t, 8<<20, nil))
		m.fill(t, 3000, 4<<20)
		rng := rand.New(rand.NewPCG(1, 2))
		for id := range m.next {
			if rng.IntN(one) == 0 {
				m.free(id + 1)
			}
		}
		moved, err := m.h.Compact(1<<30, m.move)
		require.NoError(t, err)
		require.Equal(t, one < 10, moved > 0)
		require.NoError(t, m.verify())
	}
}
