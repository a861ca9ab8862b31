package arena

import "os"

// A Pager makes the system calls that a [Region] needs. The regions of a
// process use the system's own unless Options.Pager says otherwise; package
// arenatest has one that fails on demand and one that counts. A call that
// returns an error must have changed nothing. Implementations must be safe for
// concurrent use if they are shared between regions.
//
// All ranges are whole pages of one mapping that Map returned.
type Pager interface {
	// Map makes a new mapping of r.Size bytes (mmap, VirtualAlloc).
	Map(r MapRequest) ([]byte, error)
	// Protect changes what may be done with mem (mprotect, VirtualProtect).
	Protect(mem []byte, p Prot) error
	// Advise says what mem will be used for (madvise; on Windows Need and
	// DontNeed commit and decommit).
	Advise(mem []byte, a Advice) error
	// Move moves the pages of src to dst, which does not overlap it and is as
	// long; src reads as zero afterwards (mremap). A system without it returns
	// ErrUnsupported.
	Move(dst, src []byte) error
	// Unmap ends the mapping that Map returned, or, where the system can divide one, its
	// part from some page on to its end.
	Unmap(mem []byte) error
	// Allocate makes sure that bytes [off, off+size) of f have blocks on the
	// device and that f is long enough; existing contents stay (fallocate).
	Allocate(f *os.File, off, size int64) error
	// Punch gives the blocks of bytes [off, off+size) of f back; they read as
	// zero afterwards (fallocate with FALLOC_FL_PUNCH_HOLE).
	Punch(f *os.File, off, size int64) error
	// Sync writes the changes of a file mapping to its device (msync).
	Sync(mem []byte) error
	// Resident returns how many bytes of mem are in RAM (mincore,
	// QueryWorkingSetEx).
	Resident(mem []byte) (int, error)
}

// SystemPager returns the pager that makes this system's calls, for pagers
// that wrap it. Where the system has no mappings every call of it is
// [ErrUnsupported].
func SystemPager() Pager { return systemPager{} }

// A MapRequest says what mapping a [Pager] should make.
type MapRequest struct {
	Size int      // bytes, whole pages
	Prot Prot     // ProtNone reserves address space only
	File *os.File // nil: anonymous, private, without swap reserved for it; else the file from its start on, shared
	Over []byte   // not nil: replace this range of an earlier mapping, of Size bytes
}

// Prot says what may be done with pages.
type Prot uint8

// The protections.
const (
	ProtNone      Prot = iota // any access faults
	ProtRead                  // a write faults
	ProtReadWrite             // what Commit gives
)

// Advice says what a range of pages will be used for.
type Advice uint8

// The pieces of advice.
const (
	AdviseNeed        Advice = iota // readable and writable from now on, zero if fresh
	AdviseDontNeed                  // contents not wanted: memory goes back, zero when touched again
	AdviseHugePages                 // huge pages wanted
	AdviseNoHugePages               // huge pages not wanted
	AdvisePopulate                  // wanted in memory now, with the contents they have
)
