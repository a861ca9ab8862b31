package segregated

import (
	"math"
	"math/rand/v2"
	"runtime"
	"strings"

	"github.com/memlab-go/memlab/alloc"
)

// maxDepth is how many frames of a call stack are kept, the innermost ones.
const maxDepth = 32

// stackTable keeps each different call stack once and knows it by a number from
// base+1 on. It is a few slices and a map without pointers, so that the collector
// does not look into it, however many stacks there are.
type stackTable struct {
	base  uint32            // numbers up to it are stacks of earlier processes, of which nothing is known here
	pcs   []uintptr         // of all stacks, one after the other
	ends  []uint32          // of stack base+1+i, in pcs
	first map[uint64]uint32 // by hash: the last stack that has it
	chain []uint32          // of stack base+1+i: the one before it with the same hash
	known map[uint64]cut    // by hash, frames of the package included
	buf   [maxDepth + 16]uintptr
}

// len returns how many stacks there are.
func (t *stackTable) len() int { return len(t.ends) }

// capture returns the number of the stack that calls into the package. What is
// to be cut off is found out once for each stack.
func (t *stackTable) capture() uint32 {
	pcs := t.buf[:runtime.Callers(2, t.buf[:])]
	h := hashOf(pcs)
	if k, ok := t.known[h]; ok {
		if rest := pcs[min(int(k.skip), len(pcs)):]; equal(t.stack(k.id), rest[:min(len(rest), maxDepth)]) {
			return k.id
		}
	}
	skip := 0
	for skip < len(pcs)-1 && isOurs(pcs[skip]) {
		skip++
	}
	rest := pcs[skip:]
	id := t.intern(rest[:min(len(rest), maxDepth)])
	if t.known == nil {
		t.known = map[uint64]cut{}
	}
	t.known[h] = cut{id, uint32(skip)}
	return id
}

// cut is a stack and how many frames were cut off in front of it.
type cut struct{ id, skip uint32 }

// hashOf returns a number that tells stacks apart, almost always.
func hashOf(pcs []uintptr) uint64 {
	h := uint64(len(pcs))
	for _, pc := range pcs {
		h = mix(h ^ uint64(pc))
	}
	return h
}

// isOurs reports whether the frame of a program counter is a method of the
// heap, or a step between it and its caller.
func isOurs(pc uintptr) bool {
	f := runtime.FuncForPC(pc - 1)
	if f == nil {
		return false
	}
	_, name, ok := strings.Cut(f.Name(), "memlab/alloc")
	if !ok {
		return false
	}
	for _, prefix := range [...]string{"/segregated.(*Heap).", "/segregated.(*compactor).", "/segregated.(*checked).", "/segregated.(*guards).",
		"/segregated.(*tracer).", "/segregated.(*stackTable).", "/segregated.(*Shared).", "/segregated.(*Handle).",
		"/segregated.(*hands).", ".(*LockedAllocator)."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// intern returns the number of a stack, a new one if it was not seen before.
func (t *stackTable) intern(pcs []uintptr) uint32 {
	h := hashOf(pcs)
	for id := t.first[h]; id != 0; id = t.chain[id-t.base-1] {
		if equal(t.stack(id), pcs) {
			return id
		}
	}
	t.pcs = append(t.pcs, pcs...)
	t.ends = append(t.ends, uint32(len(t.pcs)))
	t.chain = append(t.chain, t.first[h])
	id := t.base + uint32(len(t.ends))
	if t.first == nil {
		t.first = map[uint64]uint32{}
	}
	t.first[h] = id
	return id
}

// stack returns the program counters of stack id, innermost first; nil if it is
// not known.
func (t *stackTable) stack(id uint32) []uintptr {
	i := int64(id) - int64(t.base) - 1
	if i < 0 || i >= int64(len(t.ends)) {
		return nil
	}
	from := uint32(0)
	if i > 0 {
		from = t.ends[i-1]
	}
	return t.pcs[from:t.ends[i]:t.ends[i]]
}

// equal reports whether two stacks are the same.
func equal(a, b []uintptr) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// tracer decides which allocations are traced, and keeps their stacks. A nil
// tracer traces nothing.
type tracer struct {
	rate   int // bytes: one allocation in so many is traced; 1: all
	next   int // bytes until the next one
	rng    *rand.Rand
	stacks stackTable

	blocks map[uint64]traced // mode Fast: by offset; a checked heap has the number in its records
	freed  map[uint64]freedTrace
	ring   [recentTraces]uint64 // keys of freed, the oldest at oldest
	oldest int
}

// traced is what a tracer of a heap in mode Fast knows of a live block.
type traced struct {
	size  int // bytes asked for
	stack uint32
}

// freedTrace is what it knows of one that was freed.
type freedTrace struct{ alloc, free uint32 }

// recentTraces is how many freed blocks are known with their stacks.
const recentTraces = 4096

// newTracer returns a tracer for Options.ProfileRate, nil for 0.
func newTracer(o Options) *tracer {
	if o.ProfileRate == 0 {
		return nil
	}
	t := &tracer{rate: o.ProfileRate, rng: newRand(o.Seed, 0x747261636572)}
	if o.Mode == Fast {
		t.blocks, t.freed = map[uint64]traced{}, map[uint64]freedTrace{}
	}
	t.next = t.draw()
	return t
}

// draw returns the distance to the next sample: exponential, so that each byte
// is as likely to be one as any other.
func (t *tracer) draw() int {
	return int(min(t.rng.ExpFloat64()*float64(t.rate), math.MaxInt/2)) + 1
}

// sample returns the stack of an allocation of size bytes, or 0 if it is not
// traced.
func (t *tracer) sample(size int) uint32 {
	if t == nil || size < 0 {
		return 0
	}
	if t.rate != 1 {
		if t.next -= size; t.next > 0 || size == 0 {
			return 0
		}
		t.next = t.draw()
	}
	return t.stacks.capture()
}

// trace returns the stack of a free if want is set.
func (t *tracer) trace(want bool) uint32 {
	if t == nil || !want {
		return 0
	}
	return t.stacks.capture()
}

// stack returns the program counters of stack id.
func (t *tracer) stack(id uint32) []uintptr {
	if t == nil {
		return nil
	}
	return t.stacks.stack(id)
}

// allocated is called by a heap in mode Fast for each new block.
func (t *tracer) allocated(off uint64, size int) {
	delete(t.freed, off)
	if id := t.sample(size); id != 0 {
		t.blocks[off] = traced{size, id}
	}
}

// resized is called for each Realloc, with the block's offset before and after. A
// block that moved belongs to the place of the Realloc.
func (t *tracer) resized(from, to uint64, size int) {
	if from != to {
		t.released(from)
		t.allocated(to, size)
	} else if b, ok := t.blocks[from]; ok {
		t.blocks[from] = traced{size, b.stack}
	}
}

// moved is called for each block that Compact moves. It belongs to the place where
// it was allocated.
func (t *tracer) moved(from, to uint64) {
	if t == nil {
		return
	}
	b, ok := t.blocks[from]
	t.released(from)
	delete(t.freed, to)
	if ok {
		t.blocks[to] = b
	}
}

// released is called for each Free.
func (t *tracer) released(off uint64) {
	b, ok := t.blocks[off]
	if !ok {
		return
	}
	delete(t.blocks, off)
	delete(t.freed, t.ring[t.oldest])
	t.freed[off] = freedTrace{b.stack, t.stacks.capture()}
	t.ring[t.oldest] = off
	t.oldest = (t.oldest + 1) % recentTraces
}

// explain adds to f the stacks that are known of the block at its offset.
func (t *tracer) explain(f *alloc.Fault) {
	if t == nil || t.blocks == nil {
		return
	}
	if b, ok := t.blocks[uint64(f.Off)]; ok {
		f.AllocStack = t.stack(b.stack)
	} else if b, ok := t.freed[uint64(f.Off)]; ok {
		f.AllocStack, f.FreeStack = t.stack(b.alloc), t.stack(b.free)
	}
}
