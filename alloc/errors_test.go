package alloc_test

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/arena"
)

func TestFaultText(t *testing.T) {
	tests := []struct {
		f    alloc.Fault
		want string
	}{
		{alloc.Fault{Op: "free", Off: 0x40, InRegion: true, Err: alloc.ErrDoubleFree}, "alloc: free 0x40: block already free"},
		{alloc.Fault{Op: "free", Addr: 0x1234, Err: alloc.ErrForeign, Owner: "heap B"},
			"alloc: free address 0x1234: address not of this allocator (owner: heap B)"},
		{alloc.Fault{Op: "free", Off: 0x50, InRegion: true, Err: alloc.ErrInvalidFree, Block: &alloc.Block{Off: 0x40, Size: 100, Used: true}},
			"alloc: free 0x50: not the start of a live block (16 bytes into the live block of 100 bytes at 0x40)"},
		{alloc.Fault{Op: "check", Err: alloc.ErrCorrupt, Detail: "L1: no tag"}, "alloc: check: L1: no tag"},
	}
	for _, tt := range tests {
		require.EqualError(t, &tt.f, tt.want)
		require.ErrorIs(t, &tt.f, tt.f.Err)
	}
}

func TestNoMemoryError(t *testing.T) {
	cause := errors.New("ENOMEM")
	err := error(&alloc.NoMemoryError{Op: "malloc", Requested: 100, Limit: 50, LargestFree: 20, Err: cause})
	require.EqualError(t, err, "alloc: malloc 100 bytes: out of memory (limit 50, largest free block 20): ENOMEM")
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	require.ErrorIs(t, err, cause)
	require.ErrorIs(t, &alloc.NoMemoryError{}, alloc.ErrNoMemory)
}

func TestTry(t *testing.T) {
	require.NoError(t, alloc.Try(func() {}))
	require.ErrorIs(t, alloc.Try(func() { panic(&alloc.Fault{Err: alloc.ErrBusy}) }), alloc.ErrBusy)
	require.PanicsWithValue(t, "other", func() { alloc.Try(func() { panic("other") }) })
}

func TestLeakError(t *testing.T) {
	a := alloctest.Reference(0)
	require.NoError(t, alloc.NewLeakError(a))
	for range alloc.MaxLeakBlocks + 3 {
		_, err := a.Malloc(16)
		require.NoError(t, err)
	}
	err := alloc.NewLeakError(a)
	require.ErrorIs(t, err, alloc.ErrLeak)
	require.Contains(t, err.Error(), "13 blocks, 208 bytes")
	require.Contains(t, err.Error(), "and 3 more")
	leak, _ := errors.AsType[*alloc.LeakError](err)
	require.Len(t, leak.First, alloc.MaxLeakBlocks)
	pc, _, _, _ := runtime.Caller(0)
	leak.Sites = []alloc.LeakSite{{Blocks: 13, Bytes: 208, Stack: []uintptr{pc}}, {Blocks: 1, Bytes: 2}}
	require.Contains(t, leak.Error(), "13 blocks, 208 bytes at github.com/memlab-go/memlab/alloc_test.TestLeakError")
	require.Contains(t, leak.Error(), "an unknown place")
}

func TestStatsFigures(t *testing.T) {
	s := alloc.Stats{Live: 100, Requested: 75, Retained: 200, LargestFree: 50}
	require.InDelta(t, 0.25, s.InternalFragmentation(), 1e-9)
	require.InDelta(t, 0.75, s.ExternalFragmentation(), 1e-9)
	require.Zero(t, alloc.Stats{}.InternalFragmentation())
	require.Zero(t, alloc.Stats{}.ExternalFragmentation())
	require.Zero(t, alloc.Stats{Retained: 10, LargestFree: 20}.ExternalFragmentation())
	raw, err := json.Marshal(alloc.Stats{Resident: -1})
	require.NoError(t, err)
	for _, field := range []string{"live", "requested", "reserved", "committed", "resident", "retained", "quarantined"} {
		require.Contains(t, string(raw), `"`+field+`":`)
	}
}

func TestOptional(t *testing.T) {
	r := alloctest.Reference(0)
	b, err := r.Malloc(20)
	require.NoError(t, err)
	require.Equal(t, 20, alloc.Usable(r, b))
	bare := struct{ alloc.Allocator }{r} // the four verbs only
	require.Equal(t, 20, alloc.Usable(bare, b))
	b[3] = 9
	alloc.FreeZero(r, b)
	require.Equal(t, make([]byte, 20), b, "wiped; the reference keeps the memory readable")
	alloc.FreeZero(r, nil)
}

// rows is a heap that is a list of blocks.
type rows []alloc.Block

func (r rows) Blocks() iter.Seq[alloc.Block] { return slices.Values(r) }

// tiled lays out used and free sizes one after the other.
func tiled(sizes ...int) rows {
	var r rows
	at := arena.Offset(64)
	for _, n := range sizes {
		b := alloc.Block{Off: at, Size: max(n, -n), Used: n > 0}
		at += arena.Offset(b.Size)
		r = append(r, b)
	}
	return r
}

func TestMap(t *testing.T) {
	tests := []struct {
		name  string
		w     rows
		width int
		want  string
	}{
		{"empty", nil, 64, "|  used 0  free 0  largest 0x0  (one mark: 1 byte)"},
		{"small", tiled(24, -112, 40, -320), 64, "|##|.......|###|....................|  used 2  free 2  largest 0x140  (one mark: 16 bytes)"},
		{"tiny", tiled(3, -97), 64, "|##|.................................................|  used 1  free 1  largest 0x61  (one mark: 2 bytes)"},
		{"large", tiled(1<<20, -1<<20), 16, "|########|........|  used 1  free 1  largest 0x100000  (one mark: 131072 bytes)"},
		{"no bytes", tiled(0, 16), 16, "|.|################|  used 1  free 1  largest 0x0  (one mark: 1 byte)"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, alloc.Map(tt.w, tt.width), tt.name)
	}
	var sizes []int
	for i := range 400 { // many blocks: used ones first, then half and half, then free ones
		switch {
		case i < 100:
			sizes = append(sizes, 32)
		case i < 300:
			sizes = append(sizes, []int{32, -32}[i%2])
		default:
			sizes = append(sizes, -32)
		}
	}
	require.Equal(t, "|############+-------------------------............|  used 200  free 200  largest 0x20  (one mark: 256 bytes)",
		alloc.Map(tiled(sizes...), 64))
	require.Contains(t, alloc.MapLabel(tiled(16, -16, 16), 16, func(b alloc.Block) rune {
		return map[bool]rune{true: 'x', false: '~'}[b.Used]
	}), "xxxx|~~~~")
}

// Memory that is no block at all is drawn as nothing.
func TestMapGaps(t *testing.T) {
	var w rows
	for i := range 100 {
		w = append(w, alloc.Block{Off: arena.Offset(i * 16), Size: 16, Used: true})
		w = append(w, alloc.Block{Off: arena.Offset(1<<16 + i*16), Size: 16})
	}
	slices.SortFunc(w, func(a, b alloc.Block) int { return int(a.Off) - int(b.Off) })
	got := alloc.Map(w, 16)
	require.Regexp(t, `^\|[#+-] +[.+-]\|  used 100  free 100`, got)
}

func TestLocked(t *testing.T) {
	alloctest.Test(t, func(testing.TB) alloc.Allocator { return alloc.Locked(alloctest.Reference(8 << 20)) },
		alloctest.Detects, alloctest.Bounded, alloctest.Restores, alloctest.KeepsRequested)
}

// Locked says what it can of an allocator that has the four verbs only.
func TestLockedBare(t *testing.T) {
	r := alloctest.Reference(0)
	l := alloc.Locked(struct{ alloc.Allocator }{r})
	_, err := l.MallocAligned(8, 64)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	b, err := l.Malloc(10)
	require.NoError(t, err)
	_, err = l.ReallocAligned(b, 8, 64)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.Equal(t, 10, l.Usable(b))
	require.Zero(t, l.Stats())
	require.NoError(t, l.Check())
	require.NoError(t, l.Close())
	for range l.Blocks() {
		t.Fatal("blocks of an allocator that cannot walk")
	}
	l.Free(b)
	require.Zero(t, r.Stats().LiveBlocks)
	_, bare := l.Unwrap().(*alloctest.ReferenceAllocator)
	require.False(t, bare)
}

// Close beside Malloc: each call returns a block or ErrClosed, and the one Close
// that counts reports what was live.
func TestLockedCloseBesideMalloc(t *testing.T) {
	for range 20 {
		h, err := fit.New(nil, &fit.Options{Limit: 1 << 20})
		require.NoError(t, err)
		l := alloc.Locked(h)
		var wg sync.WaitGroup
		var got atomic.Int32
		for range 4 {
			wg.Go(func() {
				for {
					b, err := l.Malloc(10)
					if errors.Is(err, alloc.ErrClosed) {
						return
					}
					if errors.Is(err, alloc.ErrNoMemory) { // what is kept fills the limit before Close comes
						runtime.Gosched()
						continue
					}
					if err != nil || len(b) != 10 {
						t.Errorf("%d bytes, %v", len(b), err)
						return
					}
					if n := got.Add(1); n%3 != 0 || n > 300 { // few stay live: Close may be late
						alloc.Try(func() { l.Free(b) }) // may come after Close
					}
				}
			})
		}
		for got.Load() < 10 {
			runtime.Gosched()
		}
		require.ErrorIs(t, l.Close(), alloc.ErrLeak)
		wg.Wait()
	}
}

// Of N goroutines that free one block exactly one succeeds; a loop over Blocks
// may call the allocator.
func TestLockedConcurrent(t *testing.T) {
	l := alloc.Locked(alloctest.Reference(0))
	for range 50 {
		b, err := l.Malloc(40)
		require.NoError(t, err)
		var freed, refused atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := alloc.Try(func() { l.Free(b) }); errors.Is(err, alloc.ErrDoubleFree) {
					refused.Add(1)
				} else if err == nil {
					freed.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, freed.Load())
		require.EqualValues(t, 7, refused.Load())
	}
	_, err := l.Malloc(8)
	require.NoError(t, err)
	for range l.Blocks() {
		_, err := l.Malloc(8)
		require.NoError(t, err)
	}
	require.Equal(t, 2, l.Stats().LiveBlocks)
	require.ErrorIs(t, l.Close(), alloc.ErrLeak)
	var c io.Closer = l
	require.NoError(t, c.Close())
}
