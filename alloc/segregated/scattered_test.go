package segregated

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// TestScattered: a still heap is scattered if more than one in quickStray of the requests that
// were served were from another bucket than the first they looked in, until a sample in which
// they were not, or it has grown.
func TestScattered(t *testing.T) {
	const hits = 2 * quickSample
	for _, c := range []struct {
		share   uint8
		strayed uint32
		want    bool
	}{
		{quickStill, hits / quickStray, false},
		{quickStill, hits/quickStray + 1, true},
		{quickHits, hits, false},
	} {
		var q quickLists
		q.prepare()
		for _, before := range []bool{false, true} {
			q.share, q.hits, q.misses, q.strayed, q.scattered = c.share, hits, 10, c.strayed, before
			q.adapt(1<<20, 0)
			require.Equal(t, c.want, q.scattered, "%+v", c)
			require.Zero(t, q.strayed)
		}
		q.adapt(1<<20, 0)
		require.Equal(t, c.want, q.scattered, "there are too few requests to tell")
		q.grown(1<<20, 0)
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
		inChunks, strayed := 0, [3]uint64{}
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
				strayed[i] += uint64(q.strayed)
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
			require.NotZero(t, strayed[i], "none was served from another bucket")
			require.Equal(t, heaps[0].hdr.highest, h.hdr.highest)
			require.NoError(t, h.Check())
		}
	}
}

// offsetIn returns where b lies in the region of h.
func offsetIn(h *Heap, b []byte) uintptr { return addrOf(b) - addrOf(h.mem) }

// TestOneSizeIsNotScattered: what comes back from a bucket's own chunks has not strayed.
func TestOneSizeIsNotScattered(t *testing.T) {
	for _, calm := range []uint64{0, 1} {
		h, bs := calmHeap(t, 64, calmOps-1)
		h.quick.calm, h.quick.strayed = calm, 0
		for range 20 {
			for i := range 200 {
				h.Free(bs[i])
			}
			for i := range 200 {
				bs[i] = must(t, h, 8192)
			}
		}
		require.NotZero(t, len(h.quick.chunks))
		require.False(t, h.quick.scattered)
		require.Zero(t, h.quick.strayed)
	}
}

// TestScatteredBits: when Malloc has taken the last span of a list its bit is clear, also at
// both ends of the sizes that it looks for in the bits; what is in a chunk is not forgotten.
func TestScatteredBits(t *testing.T) {
	for _, calm := range []uint64{0, 1} {
		for _, n := range []uint64{exactBins + 1, exactBins + 16, 512, quickMax - 1, quickMax} {
			h := freshIn(t, 64<<20, &arena.Options{}, &Options{Classes: []int{}})
			var bs [][]byte
			for range 2 * quickSlots {
				bs = append(bs, must(t, h, int(n)<<granuleShift))
				must(t, h, 8192)
			}
			q := &h.quick
			q.share, q.calm, q.scattered = quickStill, calm, true
			q.fit(1 << 30)
			for _, b := range bs {
				h.Free(b)
			}
			i := binOf(n)
			filled := func() bool { return q.filled[i/64]>>(i%64)&1 != 0 }
			require.True(t, filled())
			want := n
			if least, _ := sizesOf(i); calm != 0 {
				want = least // what is larger looks in the next list first
			}
			for k := range bs {
				require.True(t, filled(), "%d of %d granules", k, n)
				b := must(t, h, int(want)<<granuleShift)
				require.EqualValues(t, n, h.Usable(b)>>granuleShift)
			}
			require.Equal(t, want == exactBins, filled(), "%d granules, calm %d", n, calm) // Malloc looks for more
			require.Zero(t, q.total)
			require.NoError(t, h.Check())
		}
	}
}

// TestScatteredSmall: a span of exactBins granules is not looked for in the bits.
func TestScatteredSmall(t *testing.T) {
	h, _ := calmHeap(t, 64, calmOps-1)
	small, wide := must(t, h, exactBins*granule), must(t, h, (exactBins+16)*granule)
	must(t, h, 2064)
	h.flushQuick()
	h.quick.scattered = true
	h.Free(wide)
	h.Free(small)
	strayed := h.quick.strayed
	require.Equal(t, addrOf(small), addrOf(must(t, h, exactBins*granule)))
	require.Equal(t, strayed, h.quick.strayed)
	require.Equal(t, addrOf(wide), addrOf(must(t, h, (exactBins+16)*granule)))
	require.Zero(t, h.quick.total)
	require.NoError(t, h.Check())
}

// TestFreeKeepsToTheMost: a large span that would be more than the lists may hold does not go
// into them.
func TestFreeKeepsToTheMost(t *testing.T) {
	h, bs := calmHeap(t, 64, calmOps-1)
	h.flushQuick()
	h.Free(bs[0])
	h.quick.most = h.quick.total + 8192/granule - 1
	h.Free(bs[2])
	require.LessOrEqual(t, h.quick.total, h.quick.most)
	require.NoError(t, h.Check())
}
