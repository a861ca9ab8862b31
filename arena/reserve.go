package arena

import (
	"errors"
	"math"
	"os"
	"runtime"

	"github.com/memlab-go/memlab/internal/invariants"
)

// Sizes of regions.
const (
	// defaultReserve is the address space of an Mmap or File region of size 0,
	// halved until the system grants it; a quarter of the address space on
	// 32-bit systems.
	defaultReserve = min(64<<30, (math.MaxInt+1)/4)
	// leastReserve is where the halving stops.
	leastReserve = 1 << 20
	// defaultHeap is the size of a GoHeap region of size 0. It is allocated at
	// once and counts for the collector's pace.
	defaultHeap = 64 << 20
	// largestHeap is the largest GoHeap region: make ends the process when
	// the system has no memory, so what cannot be had is refused before.
	largestHeap = min(1<<36, (math.MaxInt+1)/2) >> (6 * isWasm)
	// largestSparse is what half of a 47-bit user address space can hold.
	largestSparse = 1 << 46
)

// Reserve reserves size bytes of address space, rounded up to whole pages, and
// commits none of them. A size of 0 means a default: 64 GiB for Mmap and File
// (512 MiB on 32-bit systems), halved until the system grants it, 64 MiB for
// GoHeap, 2^46 bytes for Sparse. A nil o means the defaults.
//
// A GoHeap region is allocated by make at once, which ends the process when the
// machine has not enough memory; more than 64 GiB (1 GiB on 32-bit systems and
// wasm) is ErrSize.
//
// A File that exists keeps its contents: what holds data in it is committed
// from the start, and Stats.Existing is its length. If it ends inside a page,
// what is written there behind its end is in the file once a Commit has covered
// the page.
//
// The error wraps [ErrSize], [ErrUnsupported] (Sparse on 32-bit systems, File
// where files cannot be mapped), or the system's.
func Reserve(size int, o *Options) (*Region, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Pager == nil {
		opts.Pager = systemPager{}
	}
	if opts.Backing == Mmap && !haveMmap {
		opts.Backing = GoHeap
	}
	r, err := reserve(size, &opts)
	if err != nil {
		return nil, &Error{Op: "reserve " + opts.Backing.String(), Size: size, Limit: opts.Limit, Err: err}
	}
	if opts.OnLeak != nil {
		report := opts.OnLeak
		r.cleanup = runtime.AddCleanup(r, func(s *Stats) { report(*s) }, r.stats)
	}
	return r, nil
}

// reserve makes the region of the backing that o asks for.
func reserve(size int, o *Options) (*Region, error) {
	page := pageSize()
	if size < 0 || size > math.MaxInt-3*int(page) {
		return nil, ErrSize
	}
	if o.Limit < 0 {
		return nil, errors.Join(ErrSize, errors.New("negative limit"))
	}
	r := &Region{backing: o.Backing, page: page, limit: o.Limit}
	size = roundUp(size, int(page))
	switch o.Backing {
	case Mmap:
		return r, r.reserveMapped(size, o)
	case Sparse:
		if math.MaxInt>>32 == 0 {
			return nil, ErrUnsupported
		}
		if uint64(size) > largestSparse {
			return nil, ErrSize
		}
		if err := r.reserveMapped(size, o); err != nil {
			return nil, errors.Join(ErrUnsupported, err)
		}
		return r, nil
	case GoHeap:
		if size == 0 {
			size = defaultHeap
		}
		if size > largestHeap {
			return nil, ErrSize
		}
		r.adopt(alignedHeap(size, int(page)))
		r.back = &memory{r: r, zero: true}
		return r, nil
	case File:
		return r, r.reserveFile(size, o)
	}
	return nil, errors.New("unknown backing")
}

// FromBytes makes a region of memory of the caller's own: a simulated physical
// memory, a test buffer, one's own mapping. The bytes stay the caller's; Close
// does not touch them. Nothing is committed at first; what Commit covers is
// cleared, the rest keeps its contents. b need not be aligned; an allocator
// may ask more.
func FromBytes(b []byte) *Region {
	r := &Region{backing: GoHeap, page: pageSize()}
	r.adopt(b[:len(b):len(b)])
	r.back = &memory{r: r}
	return r
}

// adopt makes mem the bytes of the region, all of them uncommitted.
func (r *Region) adopt(mem []byte) {
	r.size = len(mem)
	r.mem.Store(&mem)
	r.committed = newPageSet(r.pages())
	r.stats = &Stats{Reserved: r.size, Limit: r.limit}
}

// reserveMapped makes an anonymous mapping the memory of r.
func (r *Region) reserveMapped(size int, o *Options) error {
	m := &mapped{r: r, pager: o.Pager}
	if size > 0 {
		if err := m.reserve(size, o); err != nil {
			return err
		}
	} else if err := m.reserveDefault(o); err != nil {
		return err
	}
	r.back = m
	return nil
}

// reserveDefault reserves as much as is sensible and the system grants.
func (m *mapped) reserveDefault(o *Options) error {
	size := defaultReserve
	if o.Backing == Sparse {
		size = 1 << (46 & (bitsOfInt - 1))
	}
	for {
		err := m.reserve(size, o)
		if err == nil || size/2 < leastReserve {
			return err
		}
		size /= 2
	}
}

const bitsOfInt = 32 << (math.MaxInt >> 62 & 1)

// reserve maps size bytes, with guard pages around them if o asks for them.
func (m *mapped) reserve(size int, o *Options) error {
	guard := 0
	if o.Guard {
		guard = int(m.r.page)
	}
	if err := m.mapPages(size+2*guard, o.Backing == Sparse); err != nil {
		return err
	}
	if err := m.prepare(guard, o); err != nil {
		return errors.Join(err, m.pager.Unmap(m.outer))
	}
	m.r.adopt(m.outer[guard : guard+size : guard+size])
	m.flip, m.cuts = newPageSet(m.r.pages()), newPageSet(m.r.pages()+1)
	m.guards = 2 * guard / int(m.r.page)
	return nil
}

// mapPages maps total bytes, usable at once where the system allows it, else
// as bare address space that commit opens. A system that counts every writable
// page against its memory (Linux with vm.overcommit_memory=2) takes the second.
func (m *mapped) mapPages(total int, bare bool) (err error) {
	m.eager = !bare && !commitByCall && !invariants.Enabled
	if m.eager {
		if m.outer, err = m.pager.Map(MapRequest{Size: total, Prot: ProtReadWrite}); err == nil {
			return nil
		}
		m.eager = false
	}
	m.outer, err = m.pager.Map(MapRequest{Size: total, Prot: ProtNone})
	return err
}

// prepare gives the advice and the guard pages of a new mapping.
func (m *mapped) prepare(guard int, o *Options) error {
	advice := AdviseNoHugePages
	if o.HugePages {
		advice = AdviseHugePages
	}
	if err := m.pager.Advise(m.outer, advice); err != nil {
		return err
	}
	if guard == 0 || !m.eager {
		return nil // bare address space is inaccessible already
	}
	if err := m.pager.Protect(m.outer[:guard], ProtNone); err != nil {
		return err
	}
	return m.pager.Protect(m.outer[len(m.outer)-guard:], ProtNone)
}

// alignedHeap returns size zero bytes of the Go heap that start on a page.
func alignedHeap(size, page int) []byte {
	b := make([]byte, size+page)
	skip := int(alignOffset(address(b), 0, page))
	return b[skip : skip+size : skip+size]
}

// roundUp rounds size up to a multiple of align, a power of two.
func roundUp(size, align int) int { return (size + align - 1) &^ (align - 1) }

// openFile opens the file of a File region for reading and writing.
func openFile(path string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("no path for the file")
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
