package arena

// A Backing says where a region's memory comes from.
type Backing uint8

// The backings. The zero value is Mmap.
const (
	// Mmap reserves address space from the system and commits pages on
	// demand: mmap on unix, VirtualAlloc on Windows. A system that has neither
	// (js/wasm, wasip1, plan9) gives GoHeap instead; [Region.Backing] says so.
	Mmap Backing = iota
	// GoHeap is one page-aligned, pointer-free allocation on the Go heap. The
	// race detector sees it, and it exists on every system.
	GoHeap
	// File maps a file shared, so that what is written can be reopened.
	File
	// Sparse reserves up to 2^46 bytes of which a test touches almost nothing.
	Sparse
)

// String returns the name of the backing in lower case.
func (b Backing) String() string {
	switch b {
	case Mmap:
		return "mmap"
	case GoHeap:
		return "goheap"
	case File:
		return "file"
	case Sparse:
		return "sparse"
	}
	return "unknown"
}

// Options says how [Reserve] gets its memory. Zero fields mean the defaults; a
// nil *Options means all of them.
type Options struct {
	Backing   Backing // Mmap by default
	Path      string  // File: the file, created if missing
	Limit     int     // most bytes that may be committed at once; 0: no limit but the size
	Guard     bool    // an inaccessible page on either side, where the system can
	HugePages bool    // ask for huge pages; by default they are refused

	// Pager makes the system calls; nil means the system's own. Tests pass
	// one that fails on demand, see package arenatest.
	Pager Pager

	// OnLeak, when set, is called on a goroutine of its own once the collector
	// has found that a region was dropped without Close. The memory is not
	// unmapped: views of it may live on.
	OnLeak func(Stats)
}
