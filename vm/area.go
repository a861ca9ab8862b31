package vm

import (
	"iter"
	"slices"
)

// An AreaKind says what an [Area] is for.
type AreaKind uint8

// The kinds of area.
const (
	AreaAnonymous AreaKind = iota // Mmap without a file
	AreaFile                      // Mmap of a file
	AreaHeap                      // Brk
	AreaStack                     // grows down by itself
)

// String names the kind.
func (k AreaKind) String() string {
	if int(k) < 4 {
		return [4]string{"anonymous", "file", "heap", "stack"}[k]
	}
	return "unknown"
}

// An Area is a range of a [Space] with one meaning and one set of rights.
type Area struct {
	Start, End VirtAddr // [Start, End), multiples of the page size
	Perm       Perm     // of R, W and X
	Kind       AreaKind
	Shared     bool
	Pages      int // of it that were touched and have data somewhere
	Resident   int // of these, in memory
}

// area is what a space keeps of an [Area].
type area struct {
	lo, hi VirtAddr
	perm   Perm
	kind   AreaKind
	shared bool
	file   *File  // also of shared anonymous memory
	off    uint64 // of lo in the file, bytes
}

// Areas yields the areas in order of address: the breakdown of the space into
// heap, mappings and stack. The space must not change meanwhile. O(areas +
// pages) for each area.
func (s *Space) Areas() iter.Seq[Area] {
	return func(yield func(Area) bool) {
		for _, a := range s.areas {
			out := Area{Start: a.lo, End: a.hi, Perm: a.perm, Kind: a.kind, Shared: a.shared}
			for _, n := range s.touched(a.lo, a.hi) {
				p := s.entries[n].page
				if p == s.k.zero {
					continue
				}
				out.Pages++
				if p.resident {
					out.Resident++
				}
			}
			if !yield(out) {
				return
			}
		}
	}
}

// after returns the position of the first area that ends above va.
func (s *Space) after(va VirtAddr) int {
	i, _ := slices.BinarySearchFunc(s.areas, va, func(a *area, va VirtAddr) int {
		if a.hi <= va {
			return -1
		}
		return 1
	})
	return i
}

// areaAt returns the area of va, or nil.
func (s *Space) areaAt(va VirtAddr) *area {
	if i := s.after(va); i < len(s.areas) && s.areas[i].lo <= va {
		return s.areas[i]
	}
	return nil
}

// covered reports whether areas cover all of [lo, hi); at is the first hole.
func (s *Space) covered(lo, hi VirtAddr) (at VirtAddr, ok bool) {
	for i := s.after(lo); lo < hi; i++ {
		if i == len(s.areas) || s.areas[i].lo > lo {
			return lo, false
		}
		lo = s.areas[i].hi
	}
	return 0, true
}

// isFree reports whether no area has a page of [lo, hi).
func (s *Space) isFree(lo, hi VirtAddr) bool {
	i := s.after(lo)
	return i == len(s.areas) || s.areas[i].lo >= hi
}

// split makes an area boundary at va, if it is inside one.
func (s *Space) split(va VirtAddr) {
	i := s.after(va)
	if i == len(s.areas) || s.areas[i].lo >= va {
		return
	}
	a := s.areas[i]
	upper := *a
	upper.lo = va
	if a.file != nil {
		upper.off += uint64(va - a.lo)
		a.file.areas++
	}
	a.hi = va
	s.areas = slices.Insert(s.areas, i+1, &upper)
}

// insert adds an area where there is none and joins it with neighbours that
// differ in nothing.
func (s *Space) insert(a *area) {
	i := s.after(a.lo)
	s.areas = slices.Insert(s.areas, i, a)
	if a.file != nil {
		a.file.areas++
	}
	s.join(i)
	if i > 0 {
		s.join(i - 1)
	}
}

// join makes one area of the i-th and the next, if they touch and are alike.
func (s *Space) join(i int) {
	if i+1 >= len(s.areas) {
		return
	}
	a, b := s.areas[i], s.areas[i+1]
	if a.hi == b.lo && a.perm == b.perm && a.kind == b.kind && a.file == nil && b.file == nil {
		a.hi = b.hi
		s.areas = slices.Delete(s.areas, i+1, i+2)
	}
}
