package fit

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// paint writes c to all of b.
func paint(b []byte, c byte) {
	for i := range b {
		b[i] = c
	}
}

// painted reports the first byte of b that is not c.
func painted(b []byte, c byte) error {
	if i := slices.IndexFunc(b, func(x byte) bool { return x != c }); i >= 0 {
		return fmt.Errorf("byte %d of %d is %#x, want %#x", i, len(b), b[i], c)
	}
	return nil
}

// matrixSizes lie on each side of the borders of blocks, pages and powers of two.
var matrixSizes = []int{0, 1, 7, 8, 9, 15, 16, 17, 24, 25, 63, 64, 65, 100, 255, 256, 1000, 1024, 4096, 4097, 10000}

// Each size at each alignment is where it was asked for, holds its bytes beside
// its neighbours, and leaves nothing behind.
func TestAlignmentMatrix(t *testing.T) {
	everyKind(func(t *testing.T, h fullHeap) {
		for align := 1; align <= 1<<16; align <<= 1 {
			var blocks [][]byte
			for i, size := range matrixSizes {
				b, err := h.MallocAligned(size, align)
				if align > 4096 && err != nil {
					require.True(t, errors.Is(err, alloc.ErrAlign) || errors.Is(err, alloc.ErrNoMemory), "%v", err)
					continue
				}
				require.NoError(t, err, "MallocAligned(%d, %d)", size, align)
				require.Zero(t, addr(b)%uintptr(align), "MallocAligned(%d, %d)", size, align)
				require.Len(t, b, size)
				require.Equal(t, size, cap(b))
				require.GreaterOrEqual(t, h.Usable(b), size)
				paint(b, byte(i))
				blocks = append(blocks, b)
			}
			require.NoError(t, h.Check(), "alignment %d", align)
			for _, b := range blocks {
				if len(b) > 0 {
					require.NoError(t, painted(b, b[0]), "alignment %d", align)
				}
				h.Free(b)
			}
			require.NoError(t, h.Check(), "alignment %d", align)
			require.Zero(t, h.Stats().Live)
		}
	})(t)
}

// Every size up to 2048 has the length and capacity it was asked for, room for
// it, and in a heap with boundary tags at most a header and an alignment more.
func TestEverySize(t *testing.T) {
	for _, o := range []Options{{}, {Header: 16}, {Align: 8}, {Header: 40, Align: 64}, {Header: 256, Align: 256}, {Implicit: true}} {
		h, err := New(region(t, 1<<20, arena.GoHeap), &o)
		require.NoError(t, err)
		most := 2*h.o.Align + h.minBlock // the rounding, and a rest too small to split off
		for size := range 2049 {
			b, err := h.Malloc(size)
			require.NoError(t, err)
			usable := h.Usable(b)
			if len(b) != size || cap(b) != size || usable < size || usable > size+most {
				t.Fatalf("%+v: Malloc(%d): len %d, cap %d, usable %d", o, size, len(b), cap(b), usable)
			}
			if want := uintptr(min(h.o.Align, 16)); size >= 16 && addr(b)%want != 0 {
				t.Fatalf("%+v: Malloc(%d) at %#x", o, size, addr(b))
			}
			h.Free(b)
		}
		require.NoError(t, h.Check())
	}
}

// Realloc from each size to each other, before a live block, a free one and
// nothing: contents are kept, and the figures are those of one block.
func TestReallocMatrix(t *testing.T) {
	sizes := []int{1, 16, 40, 100, 500, 1024, 3000, 9000}
	everyKind(func(t *testing.T, h fullHeap) {
		for _, behind := range []string{"live", "free", "nothing"} {
			for _, from := range sizes {
				for _, to := range sizes {
					name := fmt.Sprintf("%d to %d before %s", from, to, behind)
					b := mallocs(t, h, from)[0]
					rng := rand.New(rand.NewPCG(uint64(from), uint64(to)))
					for i := range b {
						b[i] = byte(rng.Uint32())
					}
					kept := slices.Clone(b[:min(from, to)])
					var rest [][]byte
					if behind != "nothing" {
						rest = mallocs(t, h, 2000, 16)
						paint(rest[0], 0x77)
					}
					if behind == "free" {
						h.Free(rest[0])
						rest = rest[1:]
					}
					live := h.Stats().LiveBlocks
					c, err := h.Realloc(b, to)
					require.NoError(t, err, name)
					require.Len(t, c, to, name)
					require.Equal(t, to, cap(c), name)
					require.True(t, slices.Equal(kept, c[:len(kept)]), name)
					require.Equal(t, live, h.Stats().LiveBlocks, name)
					if behind == "live" {
						require.NoError(t, painted(rest[0], 0x77), name)
					}
					if addr(b) != addr(c) {
						require.Error(t, alloc.Try(func() { h.Free(b) }), name)
					}
					for _, x := range append(rest, c) {
						h.Free(x)
					}
				}
			}
			require.NoError(t, h.Check())
		}
		require.Zero(t, h.Stats().Live)
	})(t)
}

// Calloc is zero in memory that was written before, whichever way it came back.
func TestCallocOnDirtyMemory(t *testing.T) {
	everyKind(func(t *testing.T, h fullHeap) {
		rng := rand.New(rand.NewPCG(1, 2))
		var live [][]byte
		for step := range 1500 {
			if len(live) > 25 || len(live) > 0 && rng.IntN(2) == 0 {
				i := rng.IntN(len(live))
				if rng.IntN(3) == 0 {
					b, err := h.Realloc(live[i], 1+rng.IntN(8000))
					require.NoError(t, err)
					paint(b, 0xFF)
					live[i] = b
					continue
				}
				h.Free(live[i])
				live = slices.Delete(live, i, i+1)
				continue
			}
			count, size := rng.IntN(40), rng.IntN(300)
			b, err := h.Calloc(count, size)
			require.NoError(t, err)
			require.Len(t, b, count*size)
			require.NoError(t, painted(b, 0), "step %d", step)
			paint(b, 0xFF)
			live = append(live, b)
		}
		require.NoError(t, h.Check())
	})(t)
}

// A full heap gives everything back: freed in any order it is as it was before
// the first block, round after round.
func TestExhaustion(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			h, err := open(region(t, 128<<10, arena.GoHeap), nil)
			require.NoError(t, err)
			virgin := lasting(h)
			rng := rand.New(rand.NewPCG(3, 4))
			for round := range 6 {
				var blocks [][]byte
				for {
					b, err := h.Malloc(1 + rng.IntN(1<<(4+2*round)))
					if err != nil {
						require.ErrorIs(t, err, alloc.ErrNoMemory)
						break
					}
					paint(b, byte(len(blocks)))
					blocks = append(blocks, b)
				}
				require.NoError(t, h.Check())
				require.NotEmpty(t, blocks)
				for _, i := range rng.Perm(len(blocks)) {
					require.NoError(t, painted(blocks[i], byte(i)), "round %d", round)
					h.Free(blocks[i])
				}
				require.NoError(t, h.Check())
				require.Equal(t, virgin, lasting(h), "round %d", round)
			}
		})
	}
}

// lasting are the figures that have to come back when all is freed.
func lasting(h fullHeap) alloc.Stats {
	s := h.Stats()
	s.Mallocs, s.Frees, s.Searched, s.Failed, s.Resident = 0, 0, 0, 0, 0
	return s
}

// The heap is busy while it is walked, until the last of several walks ends.
func TestWalksNest(t *testing.T) {
	everyKind(func(t *testing.T, h fullHeap) {
		b := mallocs(t, h, 100, 200)[0]
		busy := func() bool { _, err := h.Malloc(8); return errors.Is(err, alloc.ErrBusy) }
		for range h.Blocks() {
			for range h.Blocks() {
				break
			}
			require.True(t, busy())
			require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrBusy)
			_, err := h.Realloc(b, 300)
			require.ErrorIs(t, err, alloc.ErrBusy)
			_, err = h.Calloc(1, 8)
			require.ErrorIs(t, err, alloc.ErrBusy)
			require.Panics(t, func() {
				for range h.Blocks() {
					panic("user")
				}
			})
			require.True(t, busy())
		}
		require.False(t, busy())
		next, stop := iter.Pull(h.Blocks())
		_, ok := next()
		require.True(t, ok)
		require.True(t, busy())
		stop()
		require.False(t, busy())
		h.Free(b)
		require.NoError(t, h.Check())
	})(t)
}

// Check, Stats and a walk between any two calls leave every later block where it
// would have been without them.
func TestReadingChangesNothing(t *testing.T) {
	ops := alloctest.RandomOps(13, alloctest.Mix{Ops: 800, MaxSize: 3000})
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			r := region(t, 4<<20, arena.GoHeap) // one for both: a buddy's blocks are aligned by address
			run := func(read bool) (at []uintptr) {
				h, err := open(r, nil)
				require.NoError(t, err)
				o, base := alloctest.NewOracle(h), addr(r.Bytes())
				for _, op := range ops {
					op.Align = 0 // where a far aligned block is depends on the address
					require.NoError(t, o.Do(op))
					if b := o.Block(op.ID); b != nil {
						at = append(at, addr(b)-base)
					}
					if read {
						require.NoError(t, h.Check())
						h.Stats()
						h.FreeList()
						for range h.Blocks() {
							continue
						}
					}
				}
				require.NoError(t, o.FreeAll())
				require.NoError(t, h.Close())
				return at
			}
			require.Equal(t, run(false), run(true))
		})
	}
}

// Blocks and FreeList agree with each other and with the figures.
func TestBlocksAgree(t *testing.T) {
	everyKind(func(t *testing.T, h fullHeap) {
		o := alloctest.NewOracle(h)
		for i, op := range alloctest.RandomOps(19, alloctest.Mix{Ops: 600, MaxSize: 2000}) {
			require.NoError(t, o.Do(op))
			if i%10 != 0 {
				continue
			}
			free, live, bytes := map[arena.Offset]int{}, 0, 0
			end := arena.Offset(0)
			for b := range h.Blocks() {
				require.GreaterOrEqual(t, b.Off, end)
				end = b.Off + arena.Offset(b.Size)
				if b.Used {
					live++
					bytes += b.Size
					continue
				}
				free[b.Off] = b.Size
			}
			require.Equal(t, o.Live(), live)
			listed := map[arena.Offset]int{}
			for _, b := range h.FreeList() {
				listed[b.Off] = b.Size
			}
			require.Equal(t, free, listed)
			require.Equal(t, len(free), h.Stats().FreeBlocks)
		}
	})(t)
}
