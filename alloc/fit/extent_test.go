package fit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

// The heap commits as it grows, gives back as it shrinks, and tells the sink;
// its figure of committed bytes is the region's.
func TestGrowAndTrim(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			committed := 0
			r := region(t, 64<<20, arena.Mmap)
			h, err := open(r, &Options{Grow: 8192, Sink: func(e alloc.Event) {
				switch e.Kind {
				case alloc.EventCommit:
					committed += e.Size
				case alloc.EventDecommit:
					committed -= e.Size
				}
			}})
			require.NoError(t, err)
			same := func() {
				t.Helper()
				require.Equal(t, r.Stats().Committed, h.Stats().Committed)
				require.LessOrEqual(t, committed, h.Stats().Committed)
				require.NoError(t, h.Check())
				require.NoError(t, alloctest.CheckStats(h.Stats()))
			}
			same()
			fresh := h.Stats().Committed
			require.Less(t, fresh, 64<<10)
			keep := mallocs(t, h, 100)[0]
			big := mallocs(t, h, 10<<20)[0]
			same()
			require.Greater(t, h.Stats().Committed, 10<<20)
			big[0], big[len(big)-1] = 1, 1
			h.Free(big)
			if name == "deferred" { // joins when it must, or when nothing is live
				big = mallocs(t, h, 12<<20)[0]
				h.Free(big)
			}
			same()
			require.Less(t, h.Stats().Committed, 1<<20, "the end goes back although a block is live")
			big = mallocs(t, h, 10<<20)[0]
			for _, c := range []byte{big[0], big[5<<20], big[len(big)-1]} {
				_ = c // readable again
			}
			h.Free(keep)
			h.Free(big)
			same()
			require.Equal(t, fresh, h.Stats().Committed, "an empty heap is as it was")
		})
	}
}

// A decommit that fails leaves the heap sound, with its memory.
func TestTrimFails(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			p := arenatest.New()
			r, err := arena.Reserve(16<<20, &arena.Options{Pager: p})
			require.NoError(t, err)
			defer r.Close()
			h, err := open(r, nil)
			require.NoError(t, err)
			b := mallocs(t, h, 4<<20)[0]
			before := h.Stats().Committed
			p.FailAt(1, nil, arenatest.Advise, arenatest.Protect, arenatest.Map)
			h.Free(b)
			require.NoError(t, h.Check())
			if p.Injected() {
				require.Equal(t, before, h.Stats().Committed)
			}
			p.FailAt(0, nil)
			b = mallocs(t, h, 5<<20)[0]
			h.Free(b)
			require.NoError(t, h.Check())
			require.Less(t, h.Stats().Committed, 1<<20)
		})
	}
}

// When the system has no more than what is needed, that is enough.
func TestGrowsByLessWhenLimited(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			r, err := arena.Reserve(16<<20, &arena.Options{Limit: 1 << 20})
			require.NoError(t, err)
			defer r.Close()
			h, err := open(r, &Options{Grow: 128 << 10})
			require.NoError(t, err)
			var blocks [][]byte
			for {
				b, err := h.Malloc(10000)
				if err != nil {
					require.ErrorIs(t, err, alloc.ErrNoMemory)
					require.ErrorIs(t, err, arena.ErrLimit)
					break
				}
				blocks = append(blocks, b)
			}
			live := 10000 * len(blocks)
			require.Greater(t, live, 500<<10, "most of what the region may commit is used")
			require.NoError(t, h.Check())
			for _, b := range blocks {
				h.Free(b)
			}
			require.NoError(t, h.Check())
		})
	}
}

// Dirty memory of the caller's makes no difference.
func TestDirtyRegion(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			mem := make([]byte, 1<<20)
			for i := range mem {
				mem[i] = byte(i*7 + i>>8)
			}
			h, err := open(arena.FromBytes(mem), nil)
			require.NoError(t, err)
			require.NoError(t, h.Check())
			require.NoError(t, alloctest.Run(h, alloctest.RandomOps(4, alloctest.Mix{Ops: 500, MaxSize: 20000}), 10))
			// A second heap in what the first one left behind.
			require.NoError(t, h.Close())
			again, err := open(arena.FromBytes(mem), nil)
			require.NoError(t, err)
			require.NoError(t, alloctest.Run(again, alloctest.RandomOps(5, alloctest.Mix{Ops: 500}), 10))
		})
	}
}

// The same operations with the same seed leave the same bytes behind.
func TestSeedReproduces(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			var images [3][]byte
			for i := range images {
				r := region(t, 64<<10, arena.GoHeap)
				h, err := open(r, &Options{Seed: uint64(1 + i/2)})
				require.NoError(t, err)
				o := alloctest.NewOracle(h)
				for _, op := range alloctest.RandomOps(6, alloctest.Mix{Ops: 200, MaxSize: 500, Unaligned: true}) {
					if err := o.Do(op); err != nil {
						require.ErrorIs(t, err, alloc.ErrNoMemory)
					}
				}
				images[i] = append([]byte(nil), r.Bytes()...)
			}
			require.Equal(t, images[0], images[1])
			require.NotEqual(t, images[0], images[2], "another seed, other check bits")
		})
	}
}
