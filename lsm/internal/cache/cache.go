package cache

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/offheap"
)

// Options says where a cache keeps its blocks.
type Options struct {
	// Heap supplies the memory. It must be safe for concurrent use and stays
	// the caller's.
	Heap alloc.Allocator

	// Region is the one that Heap's blocks lie in.
	Region *arena.Region

	// Budget is the most bytes that blocks, frames and pinned memory take.
	Budget int

	// BlockSize is the usual size of a block, 4 KiB when 0. There is one frame
	// for each half of it in the budget.
	BlockSize int
}

const (
	defaultBlockSize = 4 << 10
	minFrames        = 64
	maxShards        = 16
	minShardBudget   = 4 << 20 // bytes: below it more shards hurt more than they help
)

// noFrame marks a Handle whose block is on the Go heap.
const noFrame = ^uint32(0)

// A Cache holds blocks within a budget. Make one with [New].
//
// Law: the usage of all frames, plus their own size, plus pinned ≤ budget.
type Cache struct {
	heap   alloc.Allocator
	region *arena.Region
	mem    []byte
	frames []frame // off the Go heap
	raw    []byte  // the block that frames lies in
	shards []shard
	budget int64
	fixed  int64 // usage of raw
	turn   atomic.Uint32
	pinned atomic.Int64 // bytes handed out by AllocPinned
	closed atomic.Bool

	overflow atomic.Int64 // blocks served from the Go heap
	misses   atomic.Int64
}

// A shard owns the frames first ≤ i < end.
type shard struct {
	mu         sync.Mutex
	first, end uint32
	hand       uint32 // next frame CLOCK looks at
	free       uint32 // index+1 of the first free frame, 0 when none
	used       int64  // usage of the frames
	evictions  int64
	_          [64]byte // keeps neighbours' locks off this cache line
}

// New returns an empty cache. It fails with [alloc.ErrNoMemory] when the heap
// has no room for the frames.
func New(o *Options) (*Cache, error) {
	block := o.BlockSize
	if block <= 0 {
		block = defaultBlockSize
	}
	if o.Heap == nil || o.Region == nil || o.Budget < 0 {
		return nil, errors.New("cache: no heap, no region or a negative budget")
	}
	n := min(max(minFrames, o.Budget/max(256, block/2)), 1<<30)
	raw, err := o.Heap.Calloc(n, frameSize)
	if err != nil {
		return nil, fmt.Errorf("cache: %d frames: %w", n, err)
	}
	c := &Cache{heap: o.Heap, region: o.Region, mem: o.Region.Bytes(), raw: raw, budget: int64(o.Budget)}
	c.frames = offheap.Slice[frame](raw)
	c.fixed = int64(alloc.Usable(c.heap, raw))
	shards := 1
	for shards < maxShards && o.Budget/(2*shards) >= minShardBudget {
		shards *= 2
	}
	c.shards = make([]shard, shards)
	for i := range c.shards {
		c.initShard(&c.shards[i], n*i/shards, n*(i+1)/shards)
	}
	return c, nil
}

func (c *Cache) initShard(s *shard, first, end int) {
	s.first, s.end, s.hand = uint32(first), uint32(end), uint32(first)
	for i := end - 1; i >= first; i-- {
		c.frames[i].state.Store(nextGen(0))
		c.frames[i].next = s.free
		s.free = uint32(i) + 1
	}
}

// A Handle is a pinned block. It is a value: copy it freely, but release it
// once.
type Handle struct {
	data []byte
	c    *Cache
	idx  uint32
	gen  uint32
}

// Data returns the block, valid until Release.
func (h *Handle) Data() []byte { return h.data }

// Valid reports whether h holds a block.
func (h *Handle) Valid() bool { return h.c != nil }

// Release gives the block back. The zero Handle may be released.
func (h *Handle) Release() {
	if h.c != nil && h.idx != noFrame {
		h.c.frames[h.idx].unpin()
	}
	*h = Handle{}
}

// Get returns the block that s leads to, pinned, if it is in the cache.
func (c *Cache) Get(s *Slot) (Handle, bool) {
	v := s.v.Load()
	if v == 0 {
		return Handle{}, false
	}
	idx, gen := uint32(v), uint32(v>>32)
	if uint64(idx) >= uint64(len(c.frames)) {
		return Handle{}, false // marked
	}
	f := &c.frames[idx]
	if !f.pin(gen) {
		return Handle{}, false
	}
	if f.hot.Load() == 0 {
		f.hot.Store(1)
	}
	end := f.off + uint64(f.size)
	return Handle{data: c.mem[f.off:end:end], c: c, idx: idx, gen: gen}, true
}

// Alloc returns a pinned block of n bytes for the caller to fill and
// [Cache.Publish]. When nothing can make room it comes from the Go heap and will not
// be cached.
func (c *Cache) Alloc(n int) Handle {
	c.misses.Add(1)
	turn := c.turn.Add(1)
	for i := range min(2, len(c.shards)) {
		if h, ok := c.allocIn(&c.shards[(int(turn)+i)%len(c.shards)], n); ok {
			return h
		}
	}
	c.overflow.Add(1)
	return Handle{data: make([]byte, n), c: c, idx: noFrame}
}

// limit is what each shard's blocks may take.
func (c *Cache) limit() int64 {
	return max(0, c.budget-c.fixed-c.pinned.Load()) / int64(len(c.shards))
}

// allocIn makes room in one shard.
func (c *Cache) allocIn(s *shard, n int) (Handle, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.closed.Load() || int64(n) > c.limit() || uint64(n) > 1<<32-1 {
		return Handle{}, false
	}
	for s.free == 0 || s.used+int64(n) > c.limit() {
		if !c.evict(s) {
			return Handle{}, false
		}
	}
	b := c.malloc(s, n)
	if b == nil {
		return Handle{}, false
	}
	off, inside := c.region.OffsetOf(b)
	usage := alloc.Usable(c.heap, b)
	for s.used+int64(usage) > c.limit() && c.evict(s) {
	}
	if !inside || s.used+int64(usage) > c.limit() {
		c.heap.Free(b)
		return Handle{}, false
	}
	idx := s.free - 1
	f := &c.frames[idx]
	s.free = f.next
	f.off, f.size, f.usage = uint64(off), uint32(n), uint32(usage)
	f.hot.Store(0)
	gen := f.state.Add(1) >> 32
	s.used += int64(usage)
	return Handle{data: b[:n:n], c: c, idx: idx, gen: uint32(gen)}, true
}

// malloc takes n bytes from the heap, evicting while the heap has no room.
// Fragmentation can make that take several blocks.
func (c *Cache) malloc(s *shard, n int) []byte {
	for {
		b, err := c.heap.Malloc(max(n, 1))
		if err == nil {
			return b
		}
		if !c.evict(s) {
			return nil
		}
	}
}

// Publish makes h's block the one that s leads to. It must be filled.
func (c *Cache) Publish(s *Slot, h *Handle) {
	if h.idx != noFrame {
		s.v.Store(uint64(h.gen)<<32 | uint64(h.idx))
	}
}

// evict frees one block of s by CLOCK, or reports that all are pinned. Two
// rounds suffice: the first clears every hot bit.
func (c *Cache) evict(s *shard) bool {
	for range 2 * (s.end - s.first) {
		i := s.hand
		if s.hand++; s.hand == s.end {
			s.hand = s.first
		}
		f := &c.frames[i]
		if f.usage == 0 {
			continue
		}
		if f.hot.Load() != 0 {
			f.hot.Store(0)
			continue
		}
		if f.retire() {
			c.freeFrame(s, i)
			s.evictions++
			return true
		}
	}
	return false
}

// freeFrame gives the memory of a retired frame back.
func (c *Cache) freeFrame(s *shard, i uint32) {
	f := &c.frames[i]
	end := f.off + max(uint64(f.size), 1) // a view of no capacity would have the address of mem[0]
	c.heap.Free(c.mem[f.off:end:end])
	s.used -= int64(f.usage)
	f.usage = 0
	f.next = s.free
	s.free = i + 1
}

// Drop takes the blocks that slots lead to out of the cache, which a table does
// when it closes. Blocks that are pinned stay until CLOCK finds them released.
func (c *Cache) Drop(slots []Slot) {
	for i := range slots {
		v := slots[i].v.Swap(0)
		if v == 0 || v == marked {
			continue
		}
		idx, gen := uint32(v), v>>32
		s := c.shardOf(idx)
		s.mu.Lock()
		if f := &c.frames[idx]; f.usage != 0 && f.state.CompareAndSwap(gen<<32, nextGen(gen<<32)) {
			c.freeFrame(s, idx)
		}
		s.mu.Unlock()
	}
}

func (c *Cache) shardOf(idx uint32) *shard {
	for i := range c.shards {
		if idx < c.shards[i].end {
			return &c.shards[i]
		}
	}
	return nil
}

// AllocPinned returns n zeroed bytes, aligned to 8, that count against the
// budget until [Cache.FreePinned]. Blocks give way. It fails with
// [alloc.ErrNoMemory] when the budget is used up by pinned bytes.
func (c *Cache) AllocPinned(n int) ([]byte, error) {
	size := int64(n)
	if c.pinned.Add(size) > c.budget-c.fixed {
		c.pinned.Add(-size)
		return nil, c.noMemory(n, nil)
	}
	c.shrink()
	for {
		b, err := c.heap.Calloc(1, max(n, 1))
		if err == nil {
			c.pinned.Add(int64(alloc.Usable(c.heap, b)) - size)
			return b[:n:n], nil
		}
		if !c.evictAny() {
			c.pinned.Add(-size)
			return nil, c.noMemory(n, err)
		}
	}
}

// FreePinned takes back what AllocPinned returned.
func (c *Cache) FreePinned(b []byte) {
	if b == nil {
		return
	}
	c.pinned.Add(-int64(alloc.Usable(c.heap, b)))
	c.heap.Free(b)
}

func (c *Cache) noMemory(n int, err error) error {
	free := max(0, c.budget-c.fixed-c.pinned.Load())
	return &alloc.NoMemoryError{Op: "pin", Requested: n, Limit: int(c.budget), LargestFree: int(free), Err: err}
}

// shrink evicts until every shard is inside its limit.
func (c *Cache) shrink() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for s.used > c.limit() && c.evict(s) {
		}
		s.mu.Unlock()
	}
}

// evictAny frees one block of any shard.
func (c *Cache) evictAny() bool {
	start := int(c.turn.Add(1))
	for i := range c.shards {
		s := &c.shards[(start+i)%len(c.shards)]
		s.mu.Lock()
		ok := c.evict(s)
		s.mu.Unlock()
		if ok {
			return true
		}
	}
	return false
}

// Close frees the blocks and the frames. Tables must be closed and handles
// released; what is still pinned is an error, and its memory stays with the
// heap.
func (c *Cache) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	var held int
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for j := s.first; j < s.end; j++ {
			switch f := &c.frames[j]; {
			case f.usage == 0:
			case f.retire():
				c.freeFrame(s, j)
			default:
				held++
			}
		}
		s.mu.Unlock()
	}
	if p := c.pinned.Load(); held > 0 || p > 0 {
		return fmt.Errorf("cache: closed with %d blocks and %d bytes pinned: %w", held, p, alloc.ErrLeak)
	}
	c.heap.Free(c.raw)
	c.frames = nil
	return nil
}
