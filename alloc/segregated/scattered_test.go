package segregated

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// TestScattered: a still heap is scattered if requests have missed their own bucket by one for
// each quickNear that were served, or more, until a sample in which they have not, or it has grown.
func TestScattered(t *testing.T) {
	const hits = 2 * quickSample
	for _, c := range []struct {
		share, near uint64
		want        bool
	}{
		{quickStill, hits / quickNear, false},
		{quickStill, hits/quickNear + 1, true},
		{quickHits, hits, false},
	} {
		var q quickLists
		q.start()
		for _, before := range []bool{false, true} {
			q.share, q.hits, q.misses, q.near, q.scattered = c.share, hits, 10, uint32(c.near), before
			q.adapt(1 << 20)
			require.Equal(t, c.want, q.scattered, "%+v", c)
			require.Zero(t, q.near)
		}
		q.adapt(1 << 20)
		require.Equal(t, c.want, q.scattered, "there are too few requests to tell")
		q.grown(1 << 20)
		require.False(t, q.scattered, "it has grown")
	}
}

// TestScatteredFindsTheSame: where Malloc looks first makes no difference to what it finds,
// also where spans have gone to chunks, and if it changes on the way.
func TestScatteredFindsTheSame(t *testing.T) {
	for _, calm := range []uint64{0, 1} {
		var heaps [3]*Heap
		var live [3][][]byte
		for i := range heaps {
			heaps[i] = freshIn(t, 64<<20, &arena.Options{}, &Options{Classes: []int{}})
			for range 600 {
				live[i] = append(live[i], must(t, heaps[i], 16<<10))
			}
		}
		rng := rand.New(rand.NewPCG(7, calm))
		inChunks, near := 0, [3]uint64{}
		for step := range 60_000 {
			size, at, free := 2049+rng.IntN(30_000), rng.IntN(len(live[0])), (step%400 < 150 || rng.IntN(2) == 0) && len(live[0]) > 200
			for i, h := range heaps {
				q := &h.quick
				h.credit, q.calm, q.share, q.scattered = 0, calm, quickStill, i == 1 || i == 2 && step/100%2 == 0
				q.fit(8 * (h.top - h.first)) // so that no bucket is emptied for want of room
				if free {
					l := live[i]
					h.Free(l[at])
					l[at] = l[len(l)-1]
					live[i] = l[:len(l)-1]
					continue
				}
				b := must(t, h, size)
				if i > 0 {
					require.Equal(t, offsetIn(heaps[0], live[0][len(live[0])-1]), offsetIn(h, b), "step %d, %d bytes", step, size)
				}
				live[i] = append(live[i], b)
				near[i] += uint64(q.near)
			}
			inChunks += len(heaps[1].quick.chunks)
			if step%5000 == 0 {
				for _, h := range heaps {
					require.NoError(t, h.Check())
				}
			}
		}
		require.NotZero(t, inChunks)
		for i, h := range heaps {
			require.NotZero(t, near[i], "none was served from another bucket")
			require.Equal(t, heaps[0].hdr.highest, h.hdr.highest)
			require.NoError(t, h.Check())
		}
	}
}

// offsetIn returns where b lies in the region of h.
func offsetIn(h *Heap, b []byte) uintptr { return addrOf(b) - addrOf(h.mem) }
