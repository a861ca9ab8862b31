package alloctest

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// Reference returns the simplest allocator that keeps the contract: every block
// is a slice of Go's heap, remembered in a map by its address. It gives out at
// most limit bytes at a time; 0 means no limit. It detects every bad free, and
// is what the suite itself is tested with.
func Reference(limit int) *ReferenceAllocator {
	return &ReferenceAllocator{limit: limit, live: map[uintptr]refBlock{}, freed: map[uintptr]bool{}}
}

// A ReferenceAllocator is a map of Go slices; see [Reference]. It is safe for
// concurrent use.
type ReferenceAllocator struct {
	mu     sync.Mutex
	limit  int
	live   map[uintptr]refBlock
	freed  map[uintptr]bool // where blocks have been
	stats  alloc.Stats
	closed bool
}

type refBlock struct {
	mem  []byte // the whole slice, which keeps it alive
	size int    // bytes asked for
}

// Malloc returns a zeroed block, although nobody may count on that.
func (r *ReferenceAllocator) Malloc(size int) ([]byte, error) { return r.MallocAligned(size, 1) }

// MallocAligned returns a block whose address is a multiple of align.
func (r *ReferenceAllocator) MallocAligned(size, align int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.malloc(size, align)
}

func (r *ReferenceAllocator) malloc(size, align int) ([]byte, error) {
	switch {
	case r.closed:
		return nil, alloc.ErrClosed
	case align <= 0 || align&(align-1) != 0 || align > 1<<20:
		return nil, fmt.Errorf("alloctest: alignment %d: %w", align, alloc.ErrAlign)
	case size < 0:
		return nil, fmt.Errorf("alloctest: %d bytes: %w", size, alloc.ErrSize)
	case size > r.max()-r.stats.Live:
		r.stats.Failed++
		return nil, &alloc.NoMemoryError{Op: "malloc", Requested: size, Limit: r.limit, LargestFree: r.max() - r.stats.Live}
	}
	align = max(align, 16)
	mem := make([]byte, (size+15)/16*16+align)
	skip := int(-addr(mem) & uintptr(align-1))
	b := mem[skip:][:size:size]
	if size == 0 {
		b = mem[skip:][:1:1][:0:1]
	}
	r.live[addr(b)] = refBlock{mem, size}
	r.stats.LiveBlocks++
	r.stats.Mallocs++
	r.stats.Live += size
	return b[:size:size], nil
}

// max is the limit, or one that size arithmetic survives.
func (r *ReferenceAllocator) max() int {
	if r.limit > 0 {
		return r.limit
	}
	return 1 << 30
}

// Calloc returns a zeroed block of count*size bytes.
func (r *ReferenceAllocator) Calloc(count, size int) ([]byte, error) {
	n, err := alloc.CheckedSize(count, size)
	if err != nil {
		return nil, err
	}
	return r.Malloc(n)
}

// Realloc always moves.
func (r *ReferenceAllocator) Realloc(b []byte, size int) ([]byte, error) {
	return r.ReallocAligned(b, size, 1)
}

// ReallocAligned always moves.
func (r *ReferenceAllocator) ReallocAligned(b []byte, size, align int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, alloc.ErrClosed
	}
	var old []byte
	if b != nil {
		blk := r.find("realloc", b)
		old = b[:0:cap(b)][:min(blk.size, cap(b))]
		if size == 0 {
			r.free(b, blk)
			return nil, nil
		}
	}
	n, err := r.malloc(size, align)
	if err != nil {
		return nil, err
	}
	copy(n, old)
	if b != nil {
		r.free(b, r.live[addr(b)])
	}
	return n, nil
}

// Free forgets b.
func (r *ReferenceAllocator) Free(b []byte) {
	if b == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		panic(&alloc.Fault{Op: "free", Addr: addr(b), Err: alloc.ErrClosed})
	}
	r.free(b, r.find("free", b))
}

// Usable returns the bytes that were asked for; it panics if b is not live.
func (r *ReferenceAllocator) Usable(b []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find("usable", b).size
}

// find returns the live block at b's address or panics with the Fault.
func (r *ReferenceAllocator) find(op string, b []byte) refBlock {
	blk, ok := r.live[addr(b)]
	if !ok {
		f := &alloc.Fault{Op: op, Addr: addr(b), Size: len(b), Err: alloc.ErrForeign}
		if r.freed[addr(b)] {
			f.Err = alloc.ErrDoubleFree
		}
		for start, blk := range r.live {
			if addr(b) > start && addr(b) < start+uintptr(blk.size) {
				f.Err = alloc.ErrInvalidFree
			}
		}
		panic(f)
	}
	return blk
}

func (r *ReferenceAllocator) free(b []byte, blk refBlock) {
	delete(r.live, addr(b))
	r.freed[addr(b)] = true
	r.stats.LiveBlocks--
	r.stats.Frees++
	r.stats.Live -= blk.size
}

// Stats counts what is live; all of it is committed and reserved, and nothing
// is retained.
func (r *ReferenceAllocator) Stats() alloc.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Requested, s.Committed, s.Reserved, s.Resident = s.Live, s.Live, s.Live, -1
	return s
}

// Blocks yields the live blocks by address; offsets are addresses.
func (r *ReferenceAllocator) Blocks() iter.Seq[alloc.Block] {
	return func(yield func(alloc.Block) bool) {
		r.mu.Lock()
		blocks := make([]alloc.Block, 0, len(r.live))
		for at, blk := range r.live {
			blocks = append(blocks, alloc.Block{Off: arena.Offset(at), Size: blk.size, Used: true})
		}
		r.mu.Unlock()
		slices.SortFunc(blocks, func(x, y alloc.Block) int { return cmp.Compare(x.Off, y.Off) })
		for _, b := range blocks {
			if !yield(b) {
				return
			}
		}
	}
}

// Close forgets everything and reports what was live, the first time.
func (r *ReferenceAllocator) Close() error {
	r.mu.Lock()
	again := r.closed
	r.closed = true // from here on nothing changes what is live
	r.mu.Unlock()
	if again {
		return nil
	}
	err := alloc.NewLeakError(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = nil
	return err
}
