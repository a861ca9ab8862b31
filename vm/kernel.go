package vm

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// A Kernel is what an operating system does with an MMU: it gives frames to
// address spaces ([Space]) when they touch their pages, shares them between
// processes, and moves pages to swap and to files when memory is short.
//
// It has one core, [Kernel.MMU], on which one space runs at a time, and is not
// safe for concurrent use. [Kernel.Check] states its laws.
type Kernel struct {
	opts    KernelOptions
	mem     *Memory
	frames  *Frames
	mmu     *MMU
	running *Space // whose table the MMU uses

	common *pool // of all pages, or under local replacement of those that no space has

	spaces    map[ASID]*Space
	nextASID  int
	freeASIDs []ASID

	pages     []*page // by PageID; nil: the number is free
	freeIDs   []PageID
	resident  int        // pages that have a frame
	pinned    int        // resident pages that are pinned
	tables    int        // frames that page tables have
	deposit   []PhysAddr // frames kept for the tables that splitting huge pages needs
	merging   bool       // a frame that a table gives back goes into deposit
	batching  bool       // a range of a space is being changed: the TLB is told at its end
	splitting bool       // a frame that a table asks for comes from there
	fresh     *page      // loaded for the access under way: the policy knows of it
	zero      *page      // the page of zeros that all share; nil while nobody has it

	files map[*File]bool
	stats KernelStats
}

// KernelOptions are the parts of a [Kernel]. NewTable must be set; every other
// zero field means its default.
type KernelOptions struct {
	// NewTable makes an empty page table that takes the frames of its tables from
	// frames, with pages of the size of the kernel's frames. If it is [Aging],
	// its dirty bits say which pages must be written back, else every page that
	// was mapped writable must. If it is a [Destroyer], its frames return when
	// the space ends.
	NewTable func(frames FrameSource) (Mapper, error)

	Policy Policy // chooses the pages to evict, must be empty; nil: nothing is evicted
	Swap   *Swap  // where anonymous pages go; nil: they stay in memory

	// Local, if set in place of Policy, makes replacement local: it is called for
	// each new space and returns the policy, empty, that chooses among the pages of
	// that space alone, and the quota that bounds how many of them are in memory
	// (nil: an equal share). A space at its quota evicts a page of its own; only
	// when no frame is free, and a table or a space below its quota needs one, do
	// those farthest above theirs give pages up. Quotas may add up to more than
	// there is.
	Local func() (Policy, Quota)

	// HugePage is the size in bytes of a huge page: the next size that the page
	// tables, then [HugeMapper]s, have above the frames'. An aligned range of it is
	// mapped by one entry as soon as all of it is in memory and alike, and by many
	// again when they no longer are (see [Kernel.Collapse]). 0: never.
	HugePage uint64

	// NoZeroFrame has reads of anonymous memory that was never written take a frame
	// at once. Otherwise they all see one frame of zeros, which a write copies.
	NoZeroFrame bool

	// MMU is how the core is made. If MMU.Frames is nil the kernel's frames are
	// asked, strictly: an access to a frame that is not mapped in the reverse map
	// under the space's tag faults with FrameNotOwned.
	MMU MMUOptions

	Low       VirtAddr // first address of a space; default 0x10000
	High      VirtAddr // end of a space, where the stack begins; default 0x40000000
	StackSize uint64   // bytes that a stack may grow to; default 1 MiB
}

// KernelStats counts what a [Kernel] did. The laws are
//
//	Faults    == Minor + Major
//	Evictions == CleanEvictions + DirtyEvictions
//	SwapOuts + FileWrites == DirtyEvictions + Cleaned
type KernelStats struct {
	Faults         int64 // page faults that ended well
	Minor          int64 // of these, without a device: demand zero, copies, pages in memory already
	Major          int64 // of these, with a page read from swap or a file
	Denied         int64 // accesses refused: no mapping, or it forbids them
	ZeroFills      int64 // pages filled with zeros
	Copies         int64 // pages copied because a private page was written
	Reuses         int64 // copy-on-write pages that had one user left and were not copied
	SwapIns        int64 // pages read from swap
	SwapOuts       int64 // pages written to swap
	FileReads      int64 // pages read from files
	FileWrites     int64 // pages written to files
	Evictions      int64 // pages that left memory for lack of frames
	CleanEvictions int64 // of these, without writing: unchanged since they were read or zeroed
	DirtyEvictions int64 // of these, written first
	Cleaned        int64 // pages written that stayed in memory
	StackGrowths   int64 // stacks that became larger
	ZeroMaps       int64 // pages mapped to the frame of zeros
	Promotions     int64 // ranges that became huge pages
	PromoteFails   int64 // ranges that could not, for lack of adjacent frames
	Demotions      int64 // huge pages that became small ones again
}

// A Destroyer is a page table that can give its frames back.
type Destroyer interface {
	// Destroy returns the frames of all tables, the root too. The table must not
	// be used afterwards.
	Destroy()
}

// NewKernel returns a kernel over all of mem in frames of pageSize bytes (0:
// 4096). Options are copied.
func NewKernel(mem *Memory, pageSize uint64, o *KernelOptions) (*Kernel, error) {
	frames, err := NewFrames(mem, pageSize)
	if err != nil {
		return nil, err
	}
	if o == nil || o.NewTable == nil {
		return nil, fmt.Errorf("vm: a kernel needs KernelOptions.NewTable")
	}
	k := &Kernel{opts: *o, mem: mem, frames: frames, spaces: map[ASID]*Space{}, files: map[*File]bool{}, nextASID: 1}
	if err := k.opts.validate(frames.PageSize()); err != nil {
		return nil, err
	}
	if k.opts.MMU.Frames == nil {
		k.opts.MMU.Frames, k.opts.MMU.Strict = frames, true
	}
	k.mmu = NewMMU(mem, &k.opts.MMU)
	k.common = newPool(o.Policy, nil)
	if k.isLocal() {
		k.common = newPool(new(fifo), nil)
	}
	return k, nil
}

// validate fills in the defaults for pages of size bytes.
func (o *KernelOptions) validate(size uint64) error {
	if o.Low == 0 {
		o.Low = VirtAddr(max(0x1_0000, size))
	}
	if o.High == 0 {
		o.High = 0x4000_0000
	}
	if o.StackSize == 0 {
		o.StackSize = max(1<<20, size)
	}
	switch {
	case uint64(o.Low)%size != 0 || uint64(o.High)%size != 0 || o.StackSize%size != 0:
		return fmt.Errorf("vm: space [%v, %v) with a stack of %#x bytes: want multiples of the page size %#x", o.Low, o.High, o.StackSize, size)
	case o.Low >= o.High || uint64(o.High-o.Low) < 2*size || o.StackSize > uint64(o.High-o.Low)-2*size:
		return fmt.Errorf("vm: space [%v, %v) has no room for a stack of %#x bytes, its guard page and a page besides", o.Low, o.High, o.StackSize)
	case o.Policy != nil && o.Local != nil:
		return fmt.Errorf("vm: replacement is global or local: KernelOptions.Policy and Local exclude each other")
	case o.HugePage != 0 && (o.HugePage <= size || o.HugePage&(o.HugePage-1) != 0):
		return fmt.Errorf("vm: huge pages of %#x bytes: want a power of two above the page size %#x", o.HugePage, size)
	case o.Swap != nil && o.Policy == nil && o.Local == nil:
		return fmt.Errorf("vm: swap without a replacement policy")
	case o.Swap != nil && o.Swap.size != size:
		return fmt.Errorf("vm: swap has pages of %#x bytes, memory has frames of %#x", o.Swap.size, size)
	}
	return nil
}

// MMU returns the core, for its counters, events and TLB. It must not be switched.
func (k *Kernel) MMU() *MMU { return k.mmu }

// Frames returns the frame allocator, to look at.
func (k *Kernel) Frames() *Frames { return k.frames }

// Stats returns the counters so far.
func (k *Kernel) Stats() KernelStats { return k.stats }

// Resident returns how many pages are in memory, page tables not counted.
func (k *Kernel) Resident() int { return k.resident }

// TableFrames returns how many frames the page tables have, and those that are
// kept for the tables that huge pages have spared.
func (k *Kernel) TableFrames() int { return k.tables + len(k.deposit) }

// Spaces returns the address spaces that exist, by tag.
func (k *Kernel) Spaces() []*Space {
	out := make([]*Space, 0, len(k.spaces))
	for _, asid := range slices.Sorted(maps.Keys(k.spaces)) {
		out = append(out, k.spaces[asid])
	}
	return out
}

// NewSpace makes an address space with nothing but the first page of a stack
// under KernelOptions.High. The faults are those of making a page table,
// OutOfFrames above all, and Misuse if 65535 spaces exist.
func (k *Kernel) NewSpace() (*Space, error) {
	asid, err := k.takeASID()
	if err != nil {
		return nil, err
	}
	var table Mapper
	for {
		if table, err = k.opts.NewTable(tableSource{k}); err == nil {
			break
		}
		if !isOutOfFrames(err) {
			k.freeASIDs = append(k.freeASIDs, asid)
			return nil, err
		}
		if err := k.evict(NoPage, nil); err != nil {
			k.freeASIDs = append(k.freeASIDs, asid)
			return nil, err
		}
	}
	s := newSpace(k, table, asid)
	if err := s.checkHuge(); err != nil {
		s.destroyTable()
		k.freeASIDs = append(k.freeASIDs, asid)
		return nil, err
	}
	s.pool = k.common
	if k.isLocal() {
		s.pool = newPool(k.opts.Local())
	}
	k.spaces[asid] = s
	return s, nil
}

func (k *Kernel) takeASID() (ASID, error) {
	if n := len(k.freeASIDs); n > 0 {
		asid := k.freeASIDs[n-1]
		k.freeASIDs = k.freeASIDs[:n-1]
		return asid, nil
	}
	if k.nextASID > math.MaxUint16 {
		return 0, &Fault{Kind: Misuse, Level: -1, Note: "all address space tags are in use"}
	}
	k.nextASID++
	return ASID(k.nextASID - 1), nil
}

// switchTo makes s the space that runs.
func (k *Kernel) switchTo(s *Space) {
	if k.running != s {
		k.running = s
		k.mmu.Switch(s.table, s.asid)
	}
}

// A tableSource gives frames to page tables and counts them. It does not evict:
// the table that asks is in the middle of a change. The kernel evicts and asks
// the table again.
type tableSource struct{ k *Kernel }

func (t tableSource) AllocFrames(n int) (PhysAddr, error) {
	k := t.k
	if last := len(k.deposit) - 1; k.splitting && n == 1 && last >= 0 {
		pa := k.deposit[last]
		k.deposit = k.deposit[:last]
		k.tables++
		return pa, nil
	}
	pa, err := t.k.frames.AllocFrames(n)
	if err == nil {
		t.k.tables += n
	}
	return pa, err
}

func (t tableSource) FreeFrames(pa PhysAddr, n int) {
	t.k.tables -= n
	if t.k.merging && n == 1 {
		t.k.deposit = append(t.k.deposit, pa)
		return
	}
	t.k.frames.FreeFrames(pa, n)
}

// emit reports an event to the sink of the core.
func (k *Kernel) emit(e Event) {
	if k.mmu.opts.Events != nil {
		k.mmu.opts.Events(e)
	}
}
