package fit

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/internal/invariants"
)

func faultDoubleFree(t *testing.T, h fullHeap) {
	blocks := mallocs(t, h, 64, 64, 64)
	h.Free(blocks[1]) // neighbours live
	f := wantFault(t, h, alloc.ErrDoubleFree, func() { h.Free(blocks[1]) })
	require.Equal(t, "free", f.Op)
	require.True(t, f.InRegion)
	require.EqualValues(t, offsetOf(h, blocks[1]), f.Off)
	require.Contains(t, f.Error(), "block already free")
}

func faultDoubleFreeCoalesced(t *testing.T, h fullHeap) {
	blocks := mallocs(t, h, 64, 64, 64, 64)
	for _, i := range []int{1, 0, 2, 3} {
		h.Free(blocks[i])
		for _, b := range blocks {
			if err := alloc.Try(func() { h.Usable(b) }); err == nil {
				continue // still live
			}
			err := alloc.Try(func() { h.Free(b) })
			require.True(t, errors.Is(err, alloc.ErrDoubleFree) || errors.Is(err, alloc.ErrInvalidFree), "%v", err)
		}
	}
	require.NoError(t, h.Check())
}

// An address that was handed out again is live: freeing it a second time frees
// the new block. That is the documented limit; the third free is found.
func faultDoubleFreeReused(t *testing.T, h fullHeap) {
	old := mallocs(t, h, 64)[0]
	h.Free(old)
	again := mallocs(t, h, 64)[0]
	if addr(old) != addr(again) {
		t.Skip("the heap did not use the block again")
	}
	require.NoError(t, alloc.Try(func() { h.Free(old) }))
	wantFault(t, h, alloc.ErrDoubleFree, func() { h.Free(again) })
}

func faultInterior(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 500, 500)[1]
	for _, n := range []int{1, 8, 16, 32, 48, 64, 128, 256, 499} {
		f := wantFault(t, h, alloc.ErrInvalidFree, func() { h.Free(b[n:]) })
		require.NotNil(t, f.Block)
		require.EqualValues(t, offsetOf(h, b), f.Block.Off)
		require.True(t, f.Block.Used)
		require.EqualValues(t, n, f.Off-f.Block.Off)
	}
	h.Free(b)
}

func faultMisaligned(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 100)[0]
	for n := 1; n < 16; n++ {
		wantFault(t, h, alloc.ErrInvalidFree, func() { h.Free(b[n:]) })
	}
	h.Free(b)
	for n := 1; n < 16; n++ {
		wantFault(t, h, alloc.ErrInvalidFree, func() { h.Free(b[n:]) })
	}
}

func faultOtherHeap(t *testing.T, h fullHeap) {
	var owners *alloc.Owners
	switch h := h.(type) {
	case *Heap:
		owners = h.owners
	case *Buddy:
		owners = h.owners
	}
	for name, o := range map[string]*Options{"theirs": {Owners: owners, Name: "theirs"}, "": nil} {
		other, err := New(region(t, 1<<16, arena.GoHeap), o)
		require.NoError(t, err)
		theirs := mallocs(t, other, 64)[0]
		before := other.Stats()
		f := wantFault(t, h, alloc.ErrForeign, func() { h.Free(theirs) })
		require.Equal(t, name, f.Owner)
		require.Equal(t, before, other.Stats())
		other.Free(theirs)
		require.NoError(t, other.Close())
		require.Empty(t, owners.Of(theirs), "it is closed")
	}
	require.NoError(t, h.(io.Closer).Close())
	require.Empty(t, owners.Of(h.Region().Bytes()))
}

var global [64]byte

func faultGoMemory(t *testing.T, h fullHeap) {
	var local [64]byte
	for _, b := range [][]byte{make([]byte, 64), local[:], global[:], {}, make([]byte, 0)} {
		f := wantFault(t, h, alloc.ErrForeign, func() { h.Free(b) })
		require.False(t, f.InRegion)
	}
}

func faultMetadataAddress(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 64)[0]
	mem := h.Region().Bytes()
	at := offsetOf(h, b)
	for _, off := range []int{0, 1, 8, at - 8, at - 1, at + 64, at + 4096, at + 30000, len(mem) - 8, len(mem) - 1} {
		err := alloc.Try(func() { h.Free(mem[off:]) })
		require.ErrorIs(t, err, alloc.ErrInvalidFree, "offset %#x", off)
	}
	require.NoError(t, h.Check())
	h.Free(b)
}

func faultViews(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 64)[0]
	wantFault(t, h, alloc.ErrInvalidFree, func() { h.Free(b[1:]) })
	moved := append(b, 1)
	wantFault(t, h, alloc.ErrForeign, func() { h.Free(moved) })
	h.Free(b[:3])
	b = mallocs(t, h, 64)[0]
	h.Free(b[len(b):]) // has the base of b, in Go
	require.Zero(t, h.Stats().LiveBlocks)
}

func faultReallocBad(t *testing.T, h fullHeap) {
	blocks := mallocs(t, h, 64, 64, 64)
	h.Free(blocks[1])
	for _, n := range []int{0, 10, 1000} {
		wantFault(t, h, alloc.ErrDoubleFree, func() { h.Realloc(blocks[1], n) })
		wantFault(t, h, alloc.ErrInvalidFree, func() { h.Realloc(blocks[0][16:], n) })
		wantFault(t, h, alloc.ErrForeign, func() { h.Realloc(make([]byte, 8), n) })
	}
}

func faultAfterClose(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 64)[0]
	require.ErrorIs(t, h.Close(), alloc.ErrLeak)
	_, err := h.Malloc(1)
	require.ErrorIs(t, err, alloc.ErrClosed)
	_, err = h.Calloc(1, 1)
	require.ErrorIs(t, err, alloc.ErrClosed)
	_, err = h.MallocAligned(1, 64)
	require.ErrorIs(t, err, alloc.ErrClosed)
	for _, old := range [][]byte{nil, b} {
		_, err = h.Realloc(old, 1)
		require.ErrorIs(t, err, alloc.ErrClosed)
		_, err = h.ReallocAligned(old, 1, 64)
		require.ErrorIs(t, err, alloc.ErrClosed)
	}
	require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrClosed)
	require.ErrorIs(t, alloc.Try(func() { h.Usable(b) }), alloc.ErrClosed)
	require.NoError(t, h.Check())
	require.Zero(t, h.Stats().Committed)
	for range h.Blocks() {
		t.Fatal("a closed heap has blocks")
	}
}

func faultCloseTwice(t *testing.T, h fullHeap) {
	require.NoError(t, h.Close())
	if invariants.Enabled {
		require.ErrorIs(t, alloc.Try(func() { h.Close() }), alloc.ErrClosed)
	} else {
		require.NoError(t, h.Close())
	}
	require.NotNil(t, h.Region().Bytes(), "a region that was passed in stays the caller's")
}

func faultLeak(t *testing.T, h fullHeap) {
	blocks := mallocs(t, h, 100, 200, 300)
	h.Free(blocks[1])
	err := h.Close()
	leak, ok := errors.AsType[*alloc.LeakError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, 2, leak.Blocks)
	require.GreaterOrEqual(t, leak.Bytes, 400)
	require.Len(t, leak.First, 2)
	require.Contains(t, err.Error(), "2 blocks")
}

func faultBusy(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 64)[0]
	for range h.Blocks() {
		require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrBusy)
		_, err := h.Malloc(8)
		require.ErrorIs(t, err, alloc.ErrBusy)
		_, err = h.Realloc(b, 8)
		require.ErrorIs(t, err, alloc.ErrBusy)
	}
	h.Free(b)
}

func faultPanicInWalk(t *testing.T, h fullHeap) {
	require.Panics(t, func() {
		for range h.Blocks() {
			panic("user code")
		}
	})
	h.Free(mallocs(t, h, 64)[0])
	l := alloc.Locked(h)
	require.Panics(t, func() {
		for range l.Blocks() {
			panic("user code")
		}
	})
	l.Free(mallocs(t, l, 64)[0])
}

type node struct {
	key  int
	next *node
}

var _ = node{key: 1, next: nil} // the fields count as used

func faultPointers(t *testing.T, h fullHeap) {
	f := wantFault(t, h, alloc.ErrPointers, func() { alloc.New[node](h) })
	require.Equal(t, "alloc: New[node]: field next has a pointer", f.Error())
	wantFault(t, h, alloc.ErrPointers, func() { alloc.Make[string](h, 3) })
	wantFault(t, h, alloc.ErrPointers, func() { alloc.For[[2]any](h) })
}
