package arena

// A Backing says where a region's memory comes from.
type Backing uint8

// The backings. The zero value is Mmap.
const (
	// Mmap reserves address space from the system and commits pages on
	// demand: mmap on unix, VirtualAlloc on Windows.
	Mmap Backing = iota
	// GoHeap is one page-aligned, pointer-free allocation on the Go heap. The
	// race detector sees it, and it exists on every system.
	GoHeap
	// File maps a file shared, so that what is written can be reopened.
	File
	// Sparse reserves up to 2^46 bytes of which a test touches almost nothing.
	Sparse
)

// Options says how [Reserve] gets its memory. Zero fields mean the defaults.
type Options struct {
	Backing   Backing // Mmap by default
	Path      string  // File: the file, created if missing
	Limit     int     // most bytes that may be committed at once; 0: no limit but the size
	Guard     bool    // an inaccessible page on either side, where the system can
	HugePages bool    // ask for huge pages; by default they are refused
}
