package segregated

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/internal/invariants"
)

// A Shared is a heap for many goroutines: any of them may call it at any time,
// and free what another allocated. It scales with cores for sizes up to the
// largest class, and up to 256 KiB where a goroutine that calls often, or a
// [Handle], keeps what it has freed in a stock of its own. Other blocks, aligned ones
// and new runs come from one best-fit space under a lock. A Handle is faster still, and
// the same on all systems.
//
// For some seconds after it was used it may be at work by itself, see the package: a region that was
// passed in is to be closed after the heap.
//
// Every method is safe for concurrent use. Those that look at the whole heap,
// [Shared.Check], [Shared.Blocks], [Shared.Stats] and [Shared.Trim], stop
// whoever needs a lock; calls that need none go on, so that the figures are
// exact only while nobody else is at work.
//
// With Options.Sink, Options.ZeroOnFree, Options.ProfileRate or a mode other than
// Fast every call takes the one lock, and the heap inside is a [Heap]. Only such a
// heap, in a file, can be opened again, as a Heap.
type Shared struct {
	sharedFast

	mu       sync.Mutex // guards h; taken last
	h        *Heap      // best-fit space: spans and the memory of runs
	wordsEnd uint64     // bytes of the region: the words may be touched up to here
	reached  uint64     // what tablesEnd was when reach was set
	serial   bool       // every call takes mu and is h's
	own      bool       // Close releases the region
	closed   atomic.Bool
	stopped  atomic.Bool // closed, or the central heap is damaged: no more slots

	shards []*shard                // taken before mu, in the order of owners
	desks  []*shard                // as many, for claims
	reg    sync.Mutex              // guards the change of owners, idle and claims; taken first
	idle   []*shard                // of handles that were closed
	left   uint64                  // spans that were in stocks at Close
	stocks atomic.Int32            // handles that are open, and claims
	turn   atomic.Uint32           // whom the next visit is to
	tries  [numSeats]atomic.Uint64 // how often who has asked for a run, see wantsClaim
	desk   int                     // desk that is looked at when all are taken
	alone  bool                    // no more claims: the system has no barrier
	nobody *claim                  // that there is none
	keeper housekeeper
}

// NewShared is [New] for a heap that many goroutines share. Options are the same,
// but for the classes that nil stands for, see [SharedClasses].
func NewShared(r *arena.Region, o *Options) (*Shared, error) {
	opts, err := o.complete()
	if err != nil {
		return nil, err
	}
	if o == nil || o.Classes == nil {
		opts.Classes = SharedClasses()
	}
	s := &Shared{own: r == nil, serial: !opts.isPlain()}
	central := opts
	var runs *Shared // whose runs are in the central heap
	if !s.serial {
		central.Classes, runs = []int{}, s
	}
	if s.h, err = newHeap(r, central, runs); err != nil {
		return nil, err
	}
	if err := s.start(opts); err != nil {
		s.h.disown()
		if s.own {
			_ = s.h.region.Close()
		}
		return nil, err
	}
	return s, nil
}

// start makes the classes and the shards.
func (s *Shared) start(o Options) error {
	s.setBases()
	s.beginLooks()
	n := 4
	for n < 4*runtime.GOMAXPROCS(0) && n < numSeats {
		n *= 2
	}
	owners := make([]*shard, 2*n)
	for i := range owners {
		owners[i] = &shard{id: uint64(i)}
	}
	s.shards, s.desks = owners[:n:n], owners[n:]
	s.owners.Store(&owners)
	s.nobody = newClaim(s, nil, 0)
	for i := range s.seats {
		s.seats[i].Store(s.shards[i%n])
		s.claims[i] = s.nobody
	}
	for i := range s.classes {
		s.classes[i].tag = ^uint64(0) // no word is of these
	}
	if s.serial {
		return nil
	}
	t := s.h.tables()
	if t.words < t.starts(s.h.first>>granuleBits, s.h.pageSize).words && !s.h.commitBytes(t.words, t.words+sharedRow) {
		return s.h.noMemory("new", int(s.h.pageSize))
	}
	prev := 0
	for i, size := range o.Classes {
		c := newSharedClass(i+1, uintptr(size))
		s.classes[i+1] = c
		s.h.classes[i+1] = class{size: c.size, recip: (1<<32 + uint64(size) - 1) / uint64(size), units: c.units, valid: c.valid}
		for g := prev/granule + 1; g <= size/granule; g++ {
			s.classOf[g] = uint8(i + 1)
		}
		prev = size
	}
	s.classOf[0] = s.classOf[1]
	s.maxSize = uintptr(prev)
	s.h.setClasses(len(o.Classes))
	s.h.durable, s.h.hdr.version = false, versionShared
	s.extendReach()
	return nil
}

// extendReach lets the small path look at the rows that have been committed.
// The tables never shrink. s.mu is held, and not every call takes it.
func (s *Shared) extendReach() {
	h := s.h
	if h.refused() {
		s.reach.Store(0)
		s.reached = 0
		if h.walking == 0 && !s.stopped.Swap(true) {
			s.stop()
		}
		return
	}
	s.reached = s.tablesEnd()
	t := h.tables()
	n := min((h.safe.kindsEnd-t.kinds)/kindSize, (h.safe.unitsEnd-t.units)/unitRow, (s.wordsEnd-t.words)/sharedRow, uint64(len(h.units)))
	if reach := uintptr(n)<<unitShift - s.first; reach != s.reach.Load() {
		s.reach.Store(reach)
	}
}

// tablesEnd is a number that changes when more of a table is committed.
func (s *Shared) tablesEnd() uint64 { return s.h.safe.kindsEnd + s.h.safe.unitsEnd + s.wordsEnd }

// stop leaves Malloc, claims and handles without current runs.
func (s *Shared) stop() {
	for _, o := range *s.owners.Load() {
		for ci := range o.cur {
			o.cur[ci].Store(0)
		}
		if hs := o.hands.Load(); hs != nil {
			hs.stock.setOpen(0)
			for hd := range hs.all() {
				hd.stop()
			}
		}
	}
}

// lock and unlock are around every use of the central heap.
func (s *Shared) lock() { s.mu.Lock() }

func (s *Shared) unlock() {
	if h := s.h; !s.serial && (h.refused() || s.tablesEnd() != s.reached) {
		s.extendReach()
	}
	if h := s.h; h.mallocs+h.frees != s.keeper.ops {
		s.wantLook()
	}
	s.mu.Unlock()
}

// lockAll stops everybody who needs a lock.
func (s *Shared) lockAll() {
	s.reg.Lock()
	owners := *s.owners.Load()
	for _, o := range owners[len(s.shards):] {
		o.mu.Lock()
	}
	for _, o := range s.shards {
		o.mu.Lock()
	}
	s.lock()
}

func (s *Shared) unlockAll() {
	s.unlock()
	for _, o := range *s.owners.Load() {
		o.mu.Unlock()
	}
	s.reg.Unlock()
}

// Close ends the heap and its handles, as [Heap.Close] does; it may be called
// while other goroutines are in Malloc or Free, which then get a block that is
// dead, or [alloc.ErrClosed]. The pages of a region of the heap's own go back at
// once, and so do the addresses past the highest block; the others and the metadata
// do when the garbage collector finds that nobody holds the heap.
func (s *Shared) Close() error {
	s.lockAll()
	defer s.unlockAll()
	if s.closed.Load() {
		if invariants.Enabled {
			panic(&alloc.Fault{Op: "close", Err: alloc.ErrClosed})
		}
		return nil
	}
	h := s.h
	first, reached := int(h.first)<<granuleShift, h.reached()
	if !s.serial {
		h.own = false // closeLater does that
		s.left = s.countStocked()
	}
	err := h.Close()
	s.closed.Store(true)
	s.stopped.Store(true)
	s.keeper.timer.Stop()
	s.stop()
	for _, o := range *s.owners.Load() {
		if o.claim != nil {
			o.claim.shut()
		}
		o.lists = [maxClasses]runList{}
		o.runs, o.empties = 0, 0
	}
	if s.own && !s.serial {
		s.closeLater()
		_ = h.region.Shrink(reached) // some systems cannot
		if err := h.region.Decommit(offset(uint64(first)), h.region.Size()-first); err != nil {
			return fmt.Errorf("segregated: %w", err)
		}
	}
	return err
}
