package arena

import (
	"errors"

	"github.com/memlab-go/memlab/internal/pointerfree"
)

// Sizes of an Arena's chunks: the first, and where doubling stops. On the Go
// heap a chunk is allocated at once, so there it starts smaller.
const (
	firstChunk       = 1 << 20
	firstHeapChunk   = 64 << 10
	largestChunk     = min(1<<30, defaultReserve/4)
	largestHeapChunk = 16 << 20
)

// An Arena hands out memory by moving a position forward, and takes it back
// all at once: with [Arena.Reset], with [Arena.Close], or down to a
// [Arena.Mark] with [Arena.Release], which makes it a stack. There is no
// freeing of single blocks and no cost per block.
//
// The zero value is ready and uses the default options. Memory comes in chunks,
// each a [Region] twice as large as the one before, so that an arena of any
// size holds few mappings. Nothing that is allocated ever moves.
//
// An Arena is not safe for concurrent use; see [Concurrent]. Its laws:
//
//	used ≤ committed ≤ reserved, in every chunk
//	chunks after the current one are empty
//	marks nest: positions never decrease from the outermost mark on
type Arena struct {
	opts   Options
	given  bool // the one chunk is a region of the caller's
	closed bool

	chunks []*chunk
	cur    int // index of the chunk that is being filled
	marks  []Mark
	serial uint64
	peak   int
	allocs uint64

	committed int // bytes over all chunks
	types     pointerfree.Cache
}

// A chunk is one region of an arena and how far it is filled.
type chunk struct {
	r         *Region
	mem       []byte
	base      uintptr // address of mem, for aligning; never made a pointer
	pos       int     // bytes handed out, padding included
	committed int     // bytes from the start that may be touched
	dirty     int     // bytes from the start that may not be zero
}

// NewArena returns an arena with options of its own. Options.Limit bounds the
// committed bytes of all chunks together; a negative one has every Alloc fail
// with [ErrSize]. The backing is Mmap or GoHeap; an
// arena in a File or Sparse region is made by [ArenaIn]. A nil o means the
// defaults, as in the zero Arena.
func NewArena(o *Options) *Arena {
	a := &Arena{}
	if o != nil {
		a.opts = *o
	}
	return a
}

// ArenaIn returns an arena that allocates from r, none of which may be in use,
// and does not grow beyond it. The region stays the caller's: Close decommits
// what the arena has committed, and no more.
func ArenaIn(r *Region) *Arena {
	return &Arena{given: true, chunks: []*chunk{newChunk(r)}}
}

func newChunk(r *Region) *chunk {
	mem := r.Bytes()
	return &chunk{r: r, mem: mem, base: address(mem)}
}

// Alloc returns size zeroed bytes whose address is a multiple of align, a
// power of two of at most 1 GiB; cap == len. The bytes belong to the caller
// until the arena is reset, closed, or released to an earlier mark; a size of
// 0 gives an empty, non-nil slice.
//
// The error is [ErrLimit], [ErrFull] (an arena in a region of the caller's),
// [ErrSize], [ErrAlign], [ErrClosed] or the system's; then nothing has changed.
// O(size) when the bytes were used before, else O(1).
func (a *Arena) Alloc(size, align int) ([]byte, error) {
	if size < 0 {
		return nil, &Error{Op: "alloc", Size: size, Err: ErrSize}
	}
	if !validAlign(align) {
		return nil, &Error{Op: "alloc", Size: size, Err: ErrAlign}
	}
	if a.cur < len(a.chunks) {
		c := a.chunks[a.cur]
		start := int(alignOffset(c.base, int64(c.pos), align))
		if size <= c.committed-start {
			return a.take(c, start, size), nil
		}
	}
	return a.allocSlow(size, align)
}

// take hands out [start, start+size) of c, which is committed.
func (a *Arena) take(c *chunk, start, size int) []byte {
	c.pos = start + size
	a.allocs++
	b := c.mem[start:c.pos:c.pos]
	if start < c.dirty {
		clear(b)
	}
	return b
}

// allocSlow finds room behind what the current chunk has committed.
func (a *Arena) allocSlow(size, align int) ([]byte, error) {
	switch {
	case a.closed:
		return nil, &Error{Op: "alloc", Size: size, Err: ErrClosed}
	case a.opts.Limit < 0:
		return nil, &Error{Op: "alloc", Size: size, Limit: a.opts.Limit, Err: ErrSize}
	}
	b, err := a.allocFurther(size, align)
	if err != nil && errors.Is(err, ErrLimit) {
		if c, start := a.emptyChunk(size, align); c != nil {
			return a.take(c, start, size), nil
		}
	}
	return b, err
}

// emptyChunk returns an empty chunk that needs no more than the limit grants to
// have room for size bytes at start, and makes it the current one.
func (a *Arena) emptyChunk(size, align int) (c *chunk, start int) {
	for i := a.cur + 1; i < len(a.chunks); i++ {
		c := a.chunks[i]
		start := int(alignOffset(c.base, 0, align))
		if size > len(c.mem)-start || a.commit(c, start+size) != nil {
			continue
		}
		a.cur++
		copy(a.chunks[a.cur+1:i+1], a.chunks[a.cur:i])
		a.chunks[a.cur] = c
		return c, start
	}
	return nil, 0
}

// allocFurther commits more of the current chunk, goes on to the next one, or
// adds one.
func (a *Arena) allocFurther(size, align int) ([]byte, error) {
	for i := a.cur; i < len(a.chunks); i++ {
		c := a.chunks[i]
		start := int(alignOffset(c.base, int64(c.pos), align))
		if size > len(c.mem)-start {
			if i > a.cur {
				break // an empty chunk that is too small: a new one goes before it
			}
			continue
		}
		if err := a.commit(c, start+size); err != nil {
			return nil, err
		}
		a.cur = i
		return a.take(c, start, size), nil
	}
	return a.allocInNewChunk(size, align)
}

// allocInNewChunk puts a chunk with room for size bytes after the current one.
func (a *Arena) allocInNewChunk(size, align int) ([]byte, error) {
	if a.given {
		return nil, &Error{Op: "alloc", Size: size, Have: a.used(), Limit: len(a.chunks[0].mem), Err: ErrFull}
	}
	if a.opts.Limit > 0 && size > a.opts.Limit-a.committed {
		return nil, a.limitError(size)
	}
	c, err := a.reserveChunk(size, align)
	if err != nil {
		return nil, err
	}
	start := int(alignOffset(c.base, 0, align))
	if err = a.commit(c, start+size); err != nil {
		if closeErr := c.r.Close(); closeErr == nil {
			return nil, err
		}
		// Not to be got rid of: keep it as an empty chunk for later.
	}
	at := min(a.cur+1, len(a.chunks))
	a.chunks = append(a.chunks, nil)
	copy(a.chunks[at+1:], a.chunks[at:])
	a.chunks[at] = c
	if err != nil {
		return nil, err
	}
	a.cur = at
	return a.take(c, start, size), nil
}

// reserveChunk reserves a chunk with room for size bytes at align.
func (a *Arena) reserveChunk(size, align int) (*chunk, error) {
	first, largest := firstChunk, largestChunk
	switch {
	case a.opts.Backing == File || a.opts.Backing == Sparse:
		return nil, &Error{Op: "alloc", Size: size, Err: ErrUnsupported}
	case a.opts.Backing == GoHeap || !haveMmap:
		first, largest = firstHeapChunk, largestHeapChunk
	}
	want := largest
	if n := len(a.chunks); n < 30 {
		want = min(first<<n, largest)
	}
	if size > largestAllocation-align {
		return nil, &Error{Op: "alloc", Size: size, Err: ErrSize}
	}
	need := size
	if align > leastPage {
		need += align
	}
	o := a.opts
	o.Limit = 0 // counted over all chunks, not in each
	r, err := Reserve(max(want, need), &o)
	if err != nil {
		return nil, err
	}
	return newChunk(r), nil
}

const (
	largestAllocation = 1<<(bitsOfInt-2) - 1 // leaves room for alignment and rounding
	leastPage         = 4096                 // regions begin on pages of at least this size
)

// commit makes the first end bytes of c usable, a step ahead where the limit
// leaves room.
func (a *Arena) commit(c *chunk, end int) error {
	if end <= c.committed {
		return nil
	}
	page := c.r.PageSize()
	target := min(roundUp(end, roundUp(commitStep, page)), len(c.mem))
	if a.opts.Limit > 0 && target-c.committed > a.opts.Limit-a.committed {
		target = min(roundUp(end, page), len(c.mem))
		if target-c.committed > a.opts.Limit-a.committed {
			return a.limitError(end - c.pos)
		}
	}
	err := c.r.Commit(Offset(c.committed), target-c.committed)
	if least := min(roundUp(end, page), len(c.mem)); err != nil && least < target {
		// Perhaps the region's own limit leaves room for what is asked, if not for a step.
		target = least
		err = c.r.Commit(Offset(c.committed), target-c.committed)
	}
	if err != nil {
		return err
	}
	a.committed += target - c.committed
	c.committed = target
	return nil
}

func (a *Arena) limitError(size int) error {
	return &Error{Op: "alloc", Size: size, Have: a.committed, Limit: a.opts.Limit, Err: ErrLimit}
}

// Reset makes all memory of the arena free again. Every view and every mark is
// dead. The memory stays committed for the next use; [Arena.Trim] gives it
// back. O(chunks).
func (a *Arena) Reset() {
	a.marks = a.marks[:0]
	a.rewind(0, 0)
}

// Trim gives the memory past the current position back to the system, chunks
// that are empty as a whole included. It returns the first error, after
// trying everything.
func (a *Arena) Trim() error {
	if a.closed {
		return nil
	}
	var first error
	keep := a.chunks[:0]
	for i, c := range a.chunks {
		err := a.trimChunk(c, i > a.cur && !a.given)
		if first == nil {
			first = err
		}
		if c.r.Bytes() != nil {
			keep = append(keep, c)
		}
	}
	clear(a.chunks[len(keep):])
	a.chunks = keep
	return first
}

// trimChunk decommits what c does not use, or closes it if drop is set.
func (a *Arena) trimChunk(c *chunk, drop bool) error {
	if drop {
		if err := c.r.Close(); err != nil {
			return err
		}
		a.committed -= c.committed
		return nil
	}
	keep := min(roundUp(c.pos, c.r.PageSize()), c.committed)
	if keep == c.committed {
		return nil
	}
	if err := c.r.Decommit(Offset(keep), c.committed-keep); err != nil {
		return err
	}
	a.committed -= c.committed - keep
	c.committed, c.dirty = keep, min(c.dirty, keep)
	return nil
}

// Close releases all memory. Every view is dead; an arena in a region of the
// caller's gives back what it had committed. Closing twice is fine and returns
// nil (under the invariants build tag it panics). If the system refuses, the
// error is its own and Close can be tried again.
func (a *Arena) Close() error {
	if a.closed {
		return closedTwice("close arena")
	}
	a.Reset()
	if a.given {
		if err := a.Trim(); err != nil {
			return err
		}
	}
	for !a.given && len(a.chunks) > 0 {
		last := len(a.chunks) - 1
		if err := a.chunks[last].r.Close(); err != nil {
			return err
		}
		a.committed -= a.chunks[last].committed
		a.chunks = a.chunks[:last]
	}
	a.chunks, a.closed = nil, true
	return nil
}
