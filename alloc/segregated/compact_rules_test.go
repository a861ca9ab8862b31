package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCompactMargin: a block moves if what it adds to the sum of squares grows by more than
// an eighth. With 16 blocks of one size to a page, k of them live, one adds 2(k-1)+1 where
// it is, and 2k+1 on another such page: 17 to 15 is more, 19 to 17 is not, 21 to 17 is.
func TestCompactMargin(t *testing.T) {
	for _, c := range []struct {
		live, more int // blocks of a page, and of every fourth one
		moves      bool
	}{
		{8, 8, true},
		{9, 9, false},
		{9, 10, true},
		{12, 12, false},
	} {
		m := newMovables(fresh(t, 8<<20, &Options{Classes: []int{}}))
		size := int(m.h.pageSize) / 16
		m.fill(t, size, 1<<20)
		byPage := map[uint64][]uint16{}
		for id := uint16(1); id <= m.next; id++ {
			p := uint64(addrOf(m.block[id])-addrOf(m.h.mem)) / m.h.pageSize
			byPage[p] = append(byPage[p], id)
		}
		for p, ids := range byPage {
			drop := 16 - c.live
			if p%4 == 0 {
				drop = 16 - c.more
			}
			for i, id := range ids {
				if len(ids) < 16 || (i*7+int(p))%16 < drop { // not side by side
					m.free(id)
				}
			}
		}
		moved, err := m.h.Compact(1<<30, m.move)
		require.NoError(t, err)
		require.Equal(t, c.moves, moved > 0, "%d of 16, and %d: %d bytes have moved", c.live, c.more, moved)
		require.NoError(t, m.verify())
	}
}

// TestCompactIdleClass: the runs of a class become spans if the class has taken up none
// since the last call.
func TestCompactIdleClass(t *testing.T) {
	const size = 128
	m := newMovables(fresh(t, 8<<20, nil))
	runs := func() (n int) {
		for u := m.h.first >> granuleBits; u < m.h.top>>granuleBits; u++ {
			if k := *m.h.kind(u); k >= kindRun && k&0xff == 0 {
				n++
			}
		}
		return n
	}
	compact := func() {
		_, err := m.h.Compact(1<<30, func(from, to []byte) bool { return false })
		require.NoError(t, err)
		require.NoError(t, m.verify())
	}
	halve := func() {
		for id := range m.block {
			if id%2 == 0 {
				m.free(id)
			}
		}
	}
	m.fill(t, size, 512<<10)
	halve()
	had := runs()
	require.Greater(t, had, 10)
	compact()
	require.Equal(t, had, runs(), "the class has taken up runs")

	m.fill(t, size, 512<<10)
	halve()
	had = runs()
	compact()
	require.Equal(t, had, runs(), "the class has taken up runs since the last call")

	compact()
	require.LessOrEqual(t, runs(), 1, "the class has taken up no runs since the last call")
}
