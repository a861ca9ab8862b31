package segregated

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// classTables are tables of size classes as users may choose them.
func classTables() map[string][]int {
	all := []int{}
	for size := 16; size <= 992; size += 16 {
		all = append(all, size)
	}
	return map[string][]int{
		"default": nil, "none": {}, "one": {16}, "tiny": {8}, "tiny and few": {8, 16, 48}, "largest": {MaxClass},
		"few": {16, 48, 144, 1024}, "doubling": {16, 32, 64, 128, 256, 512, 1024}, "62": all,
	}
}

// spanned is what a block outside the runs occupies.
func spanned(size int) int { return max(minSpan*granule, (size+15)&^15) }

// heat allocates blocks of size bytes until its class has runs, whatever that
// takes within what is documented: twice the slots of a run, 64 at most.
func heat(t testing.TB, h *Heap, size int) {
	t.Helper()
	for range 2*64 + 2 {
		must(t, h, size)
	}
}

// TestUsableCold: before a class has runs, a block of any size up to 4096 is
// its size rounded up to 16, or 64 if it is smaller and no class has such small slots.
func TestUsableCold(t *testing.T) {
	for name, classes := range classTables() {
		t.Run(name, func(t *testing.T) {
			var h *Heap
			for size := range 4097 {
				if size%classOften == 0 { // before any class is busy
					h = fresh(t, 4<<20, &Options{Classes: classes})
				}
				want := spanned(size)
				if ci := h.demandOf((uint64(size) + granule - 1) / granule); ci != 0 && !h.classes[ci].canDissolve() {
					want = int(h.classes[ci].size)
				}
				if size <= tinySize && h.tiny.class != 0 && h.tiny.wait == 0 {
					want = tinySize
				}
				b := must(t, h, size)
				if len(b) != size || cap(b) != size || h.Usable(b) != want {
					t.Fatalf("Malloc(%d): len %d, cap %d, usable %d, want usable %d", size, len(b), cap(b), h.Usable(b), want)
				}
				if addrOf(b)%uintptr(min(want, 16)) != 0 {
					t.Fatalf("Malloc(%d) at %#x", size, addrOf(b))
				}
				h.Free(b)
			}
		})
	}
}

// TestUsableHot: once a class has runs, a block of any size takes the smallest
// class that holds it, and one above the largest class none: it may have what would be no span.
func TestUsableHot(t *testing.T) {
	for name, classes := range classTables() {
		t.Run(name, func(t *testing.T) {
			h := fresh(t, 16<<20, &Options{Classes: classes})
			if classes == nil {
				classes = DefaultClasses()
			}
			for _, c := range classes {
				heat(t, h, c)
				for n := 0; c != tinySize && h.classes[h.classOf[c/granule]].cur == 0; n++ {
					require.Greater(t, c, classLarge)
					require.Less(t, n, 2*classBusy)
					must(t, h, c) // those have no runs for being many
				}
			}
			for size := range 4097 {
				want, more := spanned(size), (minSpan-1)*granule
				if i, _ := slices.BinarySearch(classes, size); i < len(classes) {
					want, more = classes[i], 0
				}
				b := must(t, h, size)
				if n := h.Usable(b); len(b) != size || cap(b) != size || n < want || n > want+more {
					t.Fatalf("Malloc(%d): len %d, cap %d, usable %d, want usable %d to %d", size, len(b), cap(b), n, want, want+more)
				}
				h.Free(b)
			}
		})
	}
}

// TestSlotsAreDense: the slots of a class lie one after the other, and none of
// them in another's.
func TestSlotsAreDense(t *testing.T) {
	for _, size := range []int{16, 48, 144, 240, 256, 400, 624, 1008, 1024} {
		h := fresh(t, 4<<20, &Options{Classes: []int{size}})
		heat(t, h, size)
		var in []uintptr
		for range 500 {
			in = append(in, addrOf(must(t, h, size)))
		}
		slices.Sort(in)
		next := 0
		for i := 1; i < len(in); i++ {
			d := int(in[i] - in[i-1])
			require.GreaterOrEqual(t, d, size, "class %d: %#x and %#x overlap", size, in[i-1], in[i])
			if d == size {
				next++
			}
		}
		// At most one block of eight, the first of its run, does not follow another.
		require.GreaterOrEqual(t, next, 500-500/8-2, "class %d", size)
	}
}

// TestOptionsRefused: options that make no sense are ErrSize, and the message
// says which.
func TestOptionsRefused(t *testing.T) {
	many := make([]int, 64)
	for i := range many {
		many[i] = 16 * (i + 1)
	}
	for _, tc := range []struct {
		name, says string
		o          Options
	}{
		{"negative limit", "limit of -1", Options{Limit: -1}},
		{"64 classes", "64 size classes, at most 63", Options{Classes: many}},
		{"zero", "class 0 of 0 bytes", Options{Classes: []int{0}}},
		{"negative", "class 0 of -16 bytes", Options{Classes: []int{-16}}},
		{"no multiple", "class 1 of 40 bytes", Options{Classes: []int{16, 40}}},
		{"twice", "class 2 of 32 bytes", Options{Classes: []int{16, 32, 32}}},
		{"descending", "class 1 of 16 bytes", Options{Classes: []int{32, 16}}},
		{"too large", "class 0 of 2064 bytes", Options{Classes: []int{MaxClass + 16}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(arena.FromBytes(make([]byte, 1<<20)), &tc.o)
			require.ErrorIs(t, err, alloc.ErrSize)
			require.ErrorContains(t, err, tc.says)
		})
	}
	h := fresh(t, 1<<20, &Options{Classes: many[:63]})
	heat(t, h, many[62])
	require.Equal(t, many[62], h.Usable(must(t, h, many[62])))
}

// TestOptionsAreCopied: the caller may change its options after New, and the
// default table is the caller's own.
func TestOptionsAreCopied(t *testing.T) {
	o := &Options{Classes: []int{64}}
	h := fresh(t, 4<<20, o)
	o.Classes[0], o.Limit, o.ZeroOnFree = 128, 1, true
	heat(t, h, 40)
	require.Equal(t, 64, h.Usable(must(t, h, 40)))
	must(t, h, 1<<20)
	a, b := DefaultClasses(), DefaultClasses()
	a[0] = 999
	require.Equal(t, 8, b[0])
	require.Equal(t, 2048, b[len(b)-1])
	require.Len(t, b, 62)
}

// TestSmallestRegion: New says how large a region has to be, and one of that
// size works.
func TestSmallestRegion(t *testing.T) {
	least := 0
	for size := 4096; least == 0; size += 4096 {
		h, err := New(arena.FromBytes(make([]byte, size)), nil)
		if err == nil {
			least = size
			b := must(t, h, 100)
			fill(b, 1)
			h.Free(b)
			require.NoError(t, h.Close())
			break
		}
		require.ErrorIs(t, err, alloc.ErrSize, "%d bytes", size)
		require.ErrorContains(t, err, fmt.Sprint(size))
		require.Less(t, size, 1<<20)
	}
	for _, size := range []int{1, 15, 16, 1000, 4095} {
		_, err := New(arena.FromBytes(make([]byte, size)), nil)
		require.ErrorIs(t, err, alloc.ErrSize, "%d bytes", size)
	}
}

// TestMisalignedRegion: a region that is no multiple of 16 is refused: the
// heap's blocks are aligned by their offsets.
func TestMisalignedRegion(t *testing.T) {
	mem := make([]byte, 1<<20+16)
	for i := 1; i < 16; i++ {
		_, err := New(arena.FromBytes(mem[i:]), nil)
		require.ErrorIs(t, err, alloc.ErrAlign, "%d bytes off", i)
	}
}

// TestLimitForMetadata: a limit that has no room for the metadata is ErrNoMemory
// from New, and one that has no room for blocks from Malloc.
func TestLimitForMetadata(t *testing.T) {
	worked := false
	for limit := 1024; limit <= 128<<10; limit *= 2 {
		h, err := New(arena.FromBytes(make([]byte, 1<<20)), &Options{Limit: limit})
		if err != nil {
			require.ErrorIs(t, err, alloc.ErrNoMemory, "limit %d", limit)
			require.False(t, worked, "limit %d", limit)
			continue
		}
		worked = true
		b, err := h.Malloc(limit)
		require.ErrorIs(t, err, alloc.ErrNoMemory, "limit %d", limit)
		require.Nil(t, b)
		require.LessOrEqual(t, h.committed, uint64(limit))
		require.NoError(t, errors.Join(h.Check(), h.Close()))
	}
	require.True(t, worked)
}

// TestBusyClass: which numbers of requests give a class its first run.
func TestBusyClass(t *testing.T) {
	h := fresh(t, 8<<20, nil)
	for h.top-h.first < 6<<20>>granuleShift {
		must(t, h, 10_000)
	}
	ci := uintptr(h.classOf[500/granule])
	mallocs := h.mallocs
	parts := float64(h.top-h.first) / float64(uint64(h.classes[ci].units)*unitGranules)
	for _, c := range []struct {
		name  string
		total uint32
		of    uint64 // requests for all
		share uint8
		turn  quickTurn
		want  bool
	}{
		{"few", classOften - 1, 1, quickShare, quickGrew, false},
		{"a large part", classOften, classOften * classOneIn, quickShare, quickGrew, true},
		{"a smaller one", classOften, classOften*classOneIn + 1, quickShare, quickGrew, false},
		{"many, and worth it", classBusy, uint64(classBusy * parts / classPays), quickShare, quickGrew, true},
		{"many, not worth it", classBusy, uint64(classBusy*parts/classPays) + 1, quickShare, quickGrew, false},
		{"fewer", classBusy - 1, uint64((classBusy - 1) * parts / classPays), quickShare, quickGrew, false},
		{"many in a still heap", classBusy, 1 << 40, quickStill, quickSank, true},
		{"fewer in a still heap", classBusy - 1, 1 << 40, quickStill, quickSank, false},
		{"some in one that is back", classBack, 1 << 40, quickStill, quickBack, true},
		{"fewer in one that is back", classBack - 1, 1 << 40, quickStill, quickBack, false},
	} {
		h.demand[ci].total, h.mallocs, h.quick.share, h.quick.turn = c.total, c.of, c.share, c.turn
		require.Equal(t, c.want, h.isBusy(ci), c.name)
	}
	h.mallocs, h.quick.turn = mallocs, quickGrew
}

// TestFirstRun: a class gets its first run with the request after classOften, or after as many
// live blocks as it is to have, whatever the heap does besides.
func TestFirstRun(t *testing.T) {
	for name, o := range map[string]*Options{"plain": {}, "with a sink": {Sink: func(alloc.Event) {}}, "checked": {Mode: Checked}} {
		for _, seldom := range []bool{false, true} {
			h := fresh(t, 8<<20, o)
			if seldom {
				h.mallocs += 1 << 40
			}
			ci := func() int { return slices.IndexFunc(h.hdr.runs[:], func(n uint32) bool { return n != 0 }) }
			n := 0
			for ; ci() < 0; n++ {
				must(t, h, 500)
			}
			want := classOften + 1
			if seldom {
				want = h.classes[ci()].fullAt() + 1
			}
			require.Equal(t, want, n, "%s, seldom %v", name, seldom)
			if seldom {
				h.mallocs -= 1 << 40
			}
		}
	}
}

// TestSmallInCrowd: blocks that are smaller than a span can be are slots also where many free
// spans could hold them.
func TestSmallInCrowd(t *testing.T) {
	h := fresh(t, 16<<20, &Options{Classes: []int{16, 32, 48, 64}})
	var bs [][]byte
	for range 4000 {
		bs = append(bs, must(t, h, 700))
	}
	for i := 0; i < len(bs); i += 2 {
		h.Free(bs[i])
	}
	h.flushQuick()
	require.True(t, h.isCrowded())
	for range 1000 {
		require.Equal(t, 16, h.Usable(must(t, h, 16)))
	}
	require.Zero(t, h.demand[h.classOf[64/granule]].live)
}
