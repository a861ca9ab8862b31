package arena

import (
	"sync"
	"sync/atomic"
)

// concurrentStart is the offset of the first byte that a Concurrent hands out,
// so that offset 0 can stand for "none".
const concurrentStart = 16

// A Concurrent is bump allocation by many goroutines at once in one region: one
// compare-and-swap of the position for each, as a memtable needs it, and a lock
// only where memory is committed. Nothing is freed by itself;
// [Concurrent.Reset] starts again.
//
// All methods are safe for concurrent use except Reset, Trim and Close, which
// must not run beside other calls.
type Concurrent struct {
	r     *Region
	mem   []byte
	owned bool
	base  uintptr // address of the first byte, for aligning; never made a pointer
	step  int     // bytes by which memory is committed

	used      atomic.Int64 // bytes handed out, start and padding included
	committed atomic.Int64 // bytes from the start that may be touched
	dirty     int64        // bytes that held something before the last Reset

	mu sync.Mutex // held while committing
}

// commitStep is the number of bytes that a Concurrent and an Arena commit at a
// time, unless the allocation itself is larger.
const commitStep = 256 << 10

// NewConcurrent reserves a region of size bytes as [Reserve] does and returns
// a Concurrent that allocates from all of it and releases it on Close.
func NewConcurrent(size int, o *Options) (*Concurrent, error) {
	r, err := Reserve(size, o)
	if err != nil {
		return nil, err
	}
	c := ConcurrentIn(r)
	c.owned = true
	return c, nil
}

// ConcurrentIn returns a Concurrent that allocates from the whole of r, none
// of which may be in use. The region stays the caller's: Close decommits it
// and no more.
func ConcurrentIn(r *Region) *Concurrent {
	mem := r.Bytes()
	c := &Concurrent{r: r, mem: mem, base: address(mem), step: roundUp(commitStep, r.PageSize())}
	c.used.Store(concurrentStart)
	return c
}

// Alloc returns size zeroed bytes whose address is a multiple of align, a power
// of two, as an offset and as a view with cap == len. The offset is never 0; it
// is what should be stored inside the arena. The view and the offset are good
// until Reset or Close.
//
// The error is [ErrFull] when the region, or [ErrLimit] when its limit, has no
// room, [ErrSize], [ErrAlign] or [ErrClosed]; then nothing has changed and
// smaller allocations may still succeed. O(size) for clearing after a Reset,
// else O(1).
func (c *Concurrent) Alloc(size, align int) (Offset, []byte, error) {
	if size < 0 {
		return 0, nil, &Error{Op: "alloc", Size: size, Err: ErrSize}
	}
	if !validAlign(align) {
		return 0, nil, &Error{Op: "alloc", Size: size, Err: ErrAlign}
	}
	for {
		used := c.used.Load()
		start := alignOffset(c.base, used, align)
		if int64(size) > int64(len(c.mem))-start {
			return 0, nil, c.full(size, used)
		}
		end := start + int64(size)
		if end > c.committed.Load() {
			if err := c.commit(end); err != nil {
				return 0, nil, err
			}
		}
		if c.used.CompareAndSwap(used, end) {
			b := c.mem[start:end:end]
			if start < c.dirty {
				clear(b)
			}
			return Offset(start), b, nil
		}
	}
}

func (c *Concurrent) full(size int, used int64) error {
	err := ErrFull
	if c.mem == nil {
		err = ErrClosed
	}
	return &Error{Op: "alloc", Size: size, Have: int(used), Limit: len(c.mem), Err: err}
}

// commit makes the first end bytes usable, a step ahead where there is room.
func (c *Concurrent) commit(end int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	have := c.committed.Load()
	if end <= have {
		return nil
	}
	target := min((end+int64(c.step)-1)/int64(c.step)*int64(c.step), int64(len(c.mem)))
	err := c.r.Commit(Offset(have), int(target-have))
	if err != nil {
		// Perhaps the limit leaves room for what is asked, if not for a step.
		page := c.r.page
		target = min((end+page-1)/page*page, int64(len(c.mem)))
		err = c.r.Commit(Offset(have), int(target-have))
	}
	if err == nil {
		c.committed.Store(target)
	}
	return err
}

// Bytes returns the region; [0, Used) of it may be touched. Offsets that Alloc
// returned index it. Nil after Close.
func (c *Concurrent) Bytes() []byte { return c.mem }

// Used returns the number of bytes handed out, padding and the few bytes
// before the first included. An Alloc that runs at the same time may or may
// not be counted.
func (c *Concurrent) Used() int { return int(c.used.Load()) }

// Size returns the number of bytes that Used can reach.
func (c *Concurrent) Size() int { return len(c.mem) }

// Region returns the region that c allocates from.
func (c *Concurrent) Region() *Region { return c.r }

// Reset makes all of the arena free again. Every view and offset is dead. The
// memory stays committed, for the next use; [Concurrent.Trim] gives it back.
// Not safe beside other calls.
func (c *Concurrent) Reset() {
	c.dirty = max(c.dirty, c.used.Load())
	c.used.Store(concurrentStart)
}

// Trim gives the committed memory past Used back to the system. Not safe
// beside other calls.
func (c *Concurrent) Trim() error {
	page := c.r.page
	from, have := (c.used.Load()+page-1)/page*page, c.committed.Load()
	if c.mem == nil || from >= have {
		return nil
	}
	if err := c.r.Decommit(Offset(from), int(have-from)); err != nil {
		return err
	}
	c.committed.Store(from)
	c.dirty = min(c.dirty, from)
	return nil
}

// Close ends the arena: it releases a region of its own and decommits one of
// the caller's. Every view is dead. Closing twice is fine and returns nil
// (under the invariants build tag it panics). Not safe beside other calls.
func (c *Concurrent) Close() error {
	if c.mem == nil {
		return closedTwice("close concurrent")
	}
	var err error
	if c.owned {
		err = c.r.Close()
	} else {
		err = c.r.Decommit(0, int(c.committed.Load()))
	}
	if err == nil || c.r.Bytes() == nil {
		c.mem = nil
		c.used.Store(concurrentStart) // past the end: even empty allocations fail
		c.committed.Store(0)
	}
	return err
}
