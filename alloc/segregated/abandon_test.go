package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

// full is a heap with a limit that is used up, and a pager that can refuse to take pages back.
type full struct {
	*testing.T
	h *Heap
	p *arenatest.Pager
}

func newFull(t *testing.T, limit int) full {
	p := arenatest.New()
	h := freshIn(t, 2<<20, &arena.Options{Pager: p}, &Options{Classes: []int{}, Limit: limit})
	if h.region.Backing() != arena.Mmap {
		t.Skip("no pages that the system could keep")
	}
	return full{t, h, p}
}

// dirty returns a block of size bytes, none of which is zero.
func (f full) dirty(size int) []byte {
	b := must(f, f.h, size)
	set(b, 0xFF)
	return b
}

// refuseToTake makes the system keep the pages that f gives back, and the limit refuse
// those that it wants again.
func (f full) refuseToTake(do func()) {
	f.p.FailAt(1, nil, arenatest.Advise)
	do()
	require.True(f, f.p.Injected())
	f.p.FailAt(0, nil)
	f.h.limit = 0 // so that what comes next need not Trim
	require.NoError(f, f.h.Check())
}

// isClean checks that a Calloc of size bytes is zero, and that the heap knows what is
// committed then and when all has been given back.
func (f full) isClean(size int) {
	b, err := f.h.Calloc(1, size)
	require.NoError(f, err)
	for i, c := range b {
		if c != 0 {
			f.Fatalf("byte %d of %d is %#x", i, size, c)
		}
	}
	require.Equal(f, f.h.region.Stats().Committed, int(f.h.committed))
	f.h.Free(b)
	f.h.Trim()
	st := f.h.Stats()
	require.Equal(f, st.Committed, int(f.h.committed))
	require.Zero(f, st.Retained)
}

// TestKeptPastTheTop: the pages of a free span cannot be had again when it joins the top,
// and the system keeps those above, which are given up for it.
func TestKeptPastTheTop(t *testing.T) {
	f := newFull(t, 450<<10)
	a, x := f.dirty(200<<10), f.dirty(70<<10)
	f.h.Free(a)
	f.h.Trim()
	c := f.dirty(240 << 10)
	f.h.Free(c)
	f.refuseToTake(func() { f.h.Free(x) })
	f.isClean(400 << 10)
}

// TestKeptBetweenGaps: of two spans that are joined the pages of neither can be had again,
// and the system keeps those between.
func TestKeptBetweenGaps(t *testing.T) {
	f := newFull(t, 700<<10)
	a, y, b := f.dirty(200<<10), f.dirty(70<<10), f.dirty(180<<10)
	z := f.dirty(70 << 10)
	f.h.Free(a)
	f.h.Free(b)
	f.h.Trim()
	d := f.dirty(400 << 10)
	f.refuseToTake(func() { f.h.Free(y) })
	f.h.Free(d)
	f.h.Trim()
	c, err := f.h.Calloc(1, 440<<10)
	require.NoError(t, err)
	require.Less(t, at(f.h, c), at(f.h, z))
	for i, x := range c {
		require.Zero(t, x, "byte %d", i)
	}
	f.h.Free(c)
	f.h.Free(z)
	f.isClean(500 << 10)
}
