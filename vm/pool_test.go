package vm

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFIFO compares the pages of nobody with a slice.
func TestFIFO(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	var f fifo
	var queue []PageID
	_, ok := f.Victim(NoPage)
	require.False(t, ok)
	for range 5000 {
		p := PageID(rng.IntN(40))
		at := slices.Index(queue, p)
		switch {
		case at < 0:
			f.Insert(p, false)
			queue = append(queue, p)
		case rng.IntN(3) == 0:
			f.Remove(p)
			queue = slices.Delete(queue, at, at+1)
		default:
			f.Hit(p, true)
			v, ok := f.Victim(NoPage)
			require.True(t, ok)
			require.Equal(t, queue[0], v)
			queue = queue[1:]
		}
	}
	for _, p := range queue {
		v, ok := f.Victim(NoPage)
		require.True(t, ok)
		require.Equal(t, p, v)
	}
	_, ok = f.Victim(NoPage)
	require.False(t, ok)
}
