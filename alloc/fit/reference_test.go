package fit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// A referenceList is a second implementation of the free-list heaps, by the
// rules of the options' comments alone: slices instead of links, no memory. It
// predicts the address of each block, the number of blocks searched and the
// free list.
type referenceList struct {
	o          Options
	start, end int
	min        int
	free       []extentOf  // in list order
	used       map[int]int // offset to size
	rover      int         // Next: offset of the block to begin with; 0: the head
	tlsf       bool        // blocks are found by class, newest first
}

// extentOf is one stretch of the heap.
type extentOf struct{ off, size int }

func (r *referenceList) need(size int) int {
	return max(r.min, (size+r.o.Header+r.o.Align-1)/r.o.Align*r.o.Align)
}

// malloc returns the block's offset, or 0, and how many blocks the last search
// looked at.
func (r *referenceList) malloc(size int) (off, searched int) {
	need := r.need(size)
	i, searched := r.find(need)
	if i < 0 && r.o.Coalesce == Deferred && r.coalesceAll() {
		i, searched = r.find(need)
	}
	if i < 0 {
		return 0, searched
	}
	b := r.free[i]
	rest := extentOf{b.off + need, b.size - need}
	switch {
	case rest.size < r.min:
		need = b.size
		r.remove(i)
	case r.o.Order == SizeAscending || r.o.Order == SizeDescending || r.tlsf:
		atRover := r.rover == b.off
		r.remove(i)
		r.insert(rest)
		if atRover {
			r.rover = rest.off
		}
	default:
		if r.rover == b.off {
			r.rover = rest.off
		}
		r.free[i] = rest
	}
	r.used[b.off] = need
	return b.off, searched
}

// find returns the place on the list of the block that the policy takes, or -1.
func (r *referenceList) find(need int) (best, searched int) {
	if r.tlsf {
		return r.findByClass(need)
	}
	order := make([]int, len(r.free))
	for i := range order {
		order[i] = i
	}
	if r.o.Policy == Next {
		if at := r.place(r.rover); at > 0 {
			order = append(order[at:], order[:at]...)
		}
	}
	best = -1
	for _, i := range order {
		searched++
		size := r.free[i].size
		if size < need {
			continue
		}
		switch {
		case r.o.Policy == First || r.o.Policy == Next:
			if r.o.Policy == Next {
				r.rover = r.free[i].off
			}
			return i, searched
		case best < 0, r.o.Policy == Best && size < r.free[best].size, r.o.Policy == Worst && size > r.free[best].size:
			best = i
		}
	}
	return best, searched
}

// findByClass is TLSF's rule: the newest block of the lowest class whose blocks
// all fit, else the newest block of the request's own class that fits.
func (r *referenceList) findByClass(need int) (best, searched int) {
	class := func(size int) int { // sixteen classes for each power of two
		base, power := 16, 0
		for base*2 <= size {
			base, power = base*2, power+1
		}
		return power*16 + (size-base)*16/base
	}
	best = -1
	for i, b := range r.free {
		whole := class(b.size) > class(need) || class(need-1) < class(need) && class(b.size) == class(need)
		if whole && (best < 0 || class(b.size) < class(r.free[best].size)) {
			best = i
		}
	}
	if best >= 0 {
		return best, 1
	}
	for i, b := range r.free {
		if class(b.size) != class(need) {
			continue
		}
		searched++
		if b.size >= need {
			return i, searched
		}
	}
	return -1, searched
}

// place is where the free block off stands on the list, or -1.
func (r *referenceList) place(off int) int {
	return slices.IndexFunc(r.free, func(b extentOf) bool { return b.off == off })
}

func (r *referenceList) remove(i int) {
	if r.rover == r.free[i].off {
		r.rover = 0
		if i+1 < len(r.free) {
			r.rover = r.free[i+1].off
		}
	}
	r.free = slices.Delete(r.free, i, i+1)
}

func (r *referenceList) insert(b extentOf) {
	i := len(r.free)
	switch r.o.Order {
	case Front:
		i = 0
	case Address:
		i = slices.IndexFunc(r.free, func(f extentOf) bool { return f.off > b.off })
	case SizeAscending:
		i = slices.IndexFunc(r.free, func(f extentOf) bool { return f.size > b.size })
	case SizeDescending:
		i = slices.IndexFunc(r.free, func(f extentOf) bool { return f.size < b.size })
	}
	if i < 0 {
		i = len(r.free)
	}
	r.free = slices.Insert(r.free, i, b)
}

func (r *referenceList) release(off int) {
	b := extentOf{off, r.used[off]}
	delete(r.used, off)
	if r.o.Coalesce == Immediate {
		if i := r.place(b.off + b.size); i >= 0 {
			b.size += r.free[i].size
			r.remove(i)
		}
		if i := slices.IndexFunc(r.free, func(f extentOf) bool { return f.off+f.size == b.off }); i >= 0 {
			b = extentOf{r.free[i].off, b.size + r.free[i].size}
			r.remove(i)
		}
	}
	r.insert(b)
	if len(r.used) == 0 && r.o.Coalesce == Deferred {
		r.coalesceAll()
	}
}

// coalesceAll joins all neighbours and builds the list anew, by address.
func (r *referenceList) coalesceAll() bool {
	sorted := slices.Clone(r.free)
	slices.SortFunc(sorted, func(a, b extentOf) int { return a.off - b.off })
	var joined []extentOf
	for _, b := range sorted {
		if n := len(joined); n > 0 && joined[n-1].off+joined[n-1].size == b.off {
			joined[n-1].size += b.size
		} else {
			joined = append(joined, b)
		}
	}
	if len(joined) == len(sorted) {
		return false
	}
	r.free, r.rover = nil, 0
	for _, b := range joined {
		r.insert(b)
	}
	return true
}

// TestAgainstReference runs every combination of policy, order and coalescing
// beside the second implementation: same addresses, same searches, same lists.
func TestAgainstReference(t *testing.T) {
	const size = 6000
	r := region(t, size, arena.GoHeap)
	for p := First; p <= Worst; p++ {
		for o := Front; o <= SizeDescending; o++ {
			for c := Immediate; c <= Never; c++ {
				for _, shape := range [][2]int{{8, 16}, {24, 32}} {
					opts := Options{Policy: p, Order: o, Coalesce: c, Header: shape[0], Align: shape[1], Limit: size}
					t.Run(fmt.Sprintf("%v,%v,%v,header=%d", p, o, c, shape[0]), func(t *testing.T) {
						compareWithReference(t, r, opts)
					})
				}
			}
		}
	}
}

func compareWithReference(t *testing.T, r *arena.Region, o Options) {
	h, err := New(r, &o)
	require.NoError(t, err)
	ref := &referenceList{o: h.o, start: h.start, end: h.end, min: h.minBlock, used: map[int]int{},
		free: []extentOf{{h.start, h.end - h.start}}}
	rng := rand.New(rand.NewPCG(uint64(o.Policy)<<8|uint64(o.Order), uint64(o.Coalesce)))
	live := map[int][]byte{}
	var order []int // live offsets, oldest first
	for step := range 400 {
		if len(order) > 0 && rng.IntN(5) < 2+step/100%2 {
			i := rng.IntN(len(order))
			off := order[i]
			order = slices.Delete(order, i, i+1)
			h.Free(live[off])
			delete(live, off)
			ref.release(off)
		} else {
			size := rng.IntN(40) * (1 + rng.IntN(12))
			want, searched := ref.malloc(size)
			b, err := h.Malloc(size)
			require.Equal(t, want == 0, err != nil, "step %d: Malloc(%d): %v", step, size, err)
			require.Equal(t, searched, h.Searched(), "step %d: Malloc(%d)", step, size)
			if err == nil {
				off := int(addr(b)-h.base) - h.o.Header
				require.Equal(t, want, off, "step %d: Malloc(%d)", step, size)
				live[off] = b
				order = append(order, off)
			}
		}
		got := h.FreeList()
		require.Len(t, got, len(ref.free), "step %d", step)
		for i, b := range ref.free {
			require.Equal(t, b, extentOf{int(got[i].Off) - h.o.Header, got[i].Size}, "step %d: place %d on the list", step, i)
		}
		require.NoError(t, h.Check())
	}
}

// TestTLSFAgainstReference does the same for the two-level lists.
func TestTLSFAgainstReference(t *testing.T) {
	for seed := range uint64(20) {
		h, err := NewTLSF(region(t, 20000, arena.GoHeap), &Options{Limit: 20000})
		require.NoError(t, err)
		ref := &referenceList{o: h.o, min: h.minBlock, tlsf: true, used: map[int]int{}, free: []extentOf{{h.start, h.end - h.start}}}
		rng := rand.New(rand.NewPCG(seed, 6))
		live := map[int][]byte{}
		var order []int
		for step := range 500 {
			if len(order) > 0 && rng.IntN(9) < 4 {
				i := rng.IntN(len(order))
				off := order[i]
				order = slices.Delete(order, i, i+1)
				h.Free(live[off])
				delete(live, off)
				ref.release(off)
				continue
			}
			size := rng.IntN(60) * (1 + rng.IntN(20))
			want, searched := ref.malloc(size)
			b, err := h.Malloc(size)
			require.Equal(t, want == 0, err != nil, "step %d: Malloc(%d): %v", step, size, err)
			require.Equal(t, searched, h.Searched(), "step %d: Malloc(%d)", step, size)
			if err != nil {
				continue
			}
			off := int(addr(b)-h.base) - h.o.Header
			require.Equal(t, want, off, "step %d: Malloc(%d)", step, size)
			live[off] = b
			order = append(order, off)
		}
		require.NoError(t, h.Check())
	}
}

// A referenceBuddy is a second implementation of the buddy heap: a set of free
// blocks for each order, newest first, and sizes as plain numbers.
type referenceBuddy struct {
	size int
	min  int
	free map[int][]int // size to distances from the start, newest first
	used map[int]int   // distance to size
}

func (r *referenceBuddy) malloc(size int) (int, bool) {
	need := r.min
	for need < size {
		need *= 2
	}
	have := need
	for have <= r.size && len(r.free[have]) == 0 {
		have *= 2
	}
	if have > r.size {
		return 0, false
	}
	d := r.free[have][0]
	r.free[have] = r.free[have][1:]
	for have > need {
		have /= 2
		r.free[have] = append([]int{d + have}, r.free[have]...)
	}
	r.used[d] = need
	return d, true
}

func (r *referenceBuddy) release(d int) {
	size := r.used[d]
	delete(r.used, d)
	for size < r.size {
		i := slices.Index(r.free[size], d^size)
		if i < 0 {
			break
		}
		r.free[size] = slices.Delete(slices.Clone(r.free[size]), i, i+1)
		d = min(d, d^size)
		size *= 2
	}
	r.free[size] = append([]int{d}, r.free[size]...)
}

func TestBuddyAgainstReference(t *testing.T) {
	const size = 8192
	for seed := range uint64(20) {
		// States take 2 bytes for each 32, so that the blocks fit exactly.
		mem := make([]byte, size+size/16+size)
		mem = mem[-addr(mem)&31:] // aligned as the smallest block
		limit := size + 1024
		for limit > 0 {
			probe, err := NewBuddy(arena.FromBytes(mem), &Options{Limit: limit})
			require.NoError(t, err)
			if probe.end-probe.start == size {
				break
			}
			limit -= 32
		}
		h, err := NewBuddy(arena.FromBytes(mem), &Options{Limit: limit})
		require.NoError(t, err)
		require.Equal(t, size, h.end-h.start)
		ref := &referenceBuddy{size: size, min: 32, free: map[int][]int{size: {0}}, used: map[int]int{}}
		rng := rand.New(rand.NewPCG(seed, 5))
		live := map[int][]byte{}
		var order []int
		for step := range 500 {
			if len(order) > 0 && rng.IntN(2) == 0 {
				i := rng.IntN(len(order))
				d := order[i]
				order = slices.Delete(order, i, i+1)
				h.Free(live[d])
				delete(live, d)
				ref.release(d)
				continue
			}
			n := 1 + rng.IntN(1<<rng.IntN(12))
			want, ok := ref.malloc(n)
			b, err := h.Malloc(n)
			require.Equal(t, ok, err == nil, "step %d: Malloc(%d): %v", step, n, err)
			if err != nil {
				continue
			}
			d := int(addr(b)-h.base) - h.start
			require.Equal(t, want, d, "step %d: Malloc(%d)", step, n)
			live[d] = b
			order = append(order, d)
		}
		require.NoError(t, h.Check())
	}
}
