package vm

import (
	"fmt"
	"iter"
	"math"
	"slices"
)

// A Mapping is one entry of the reverse map: a page of an address space that is
// mapped to the frame in question.
type Mapping struct {
	ASID ASID
	VA   VirtAddr // first address of the page
}

// AddMapping counts m as a mapping of the frame at pa. Faults: BadFrame if it is
// not a frame in use, FrameDoubleFree if its count would overflow; then nothing
// has changed. O(1).
func (f *Frames) AddMapping(pa PhysAddr, m Mapping) error {
	i, ok := f.index(pa)
	switch {
	case !ok || !f.Allocated(pa):
		return &Fault{Kind: BadFrame, VA: m.VA, ASID: m.ASID, Level: -1, PA: pa, Note: "mapped, but not allocated"}
	case f.frame[i].refs == math.MaxUint16:
		return &Fault{Kind: FrameDoubleFree, VA: m.VA, ASID: m.ASID, Level: -1, PA: pa,
			Note: fmt.Sprintf("reference count of frame %v is at its limit, %d", pa, math.MaxUint16)}
	}
	f.frame[i].refs++
	f.frame[i].maps = append(f.frame[i].maps, m)
	return nil
}

// RemoveMapping undoes [Frames.AddMapping]; the fault is FrameDoubleFree if there
// is no such mapping, and nothing has changed. O(mappings of the frame).
func (f *Frames) RemoveMapping(pa PhysAddr, m Mapping) error {
	if i, ok := f.index(pa); ok {
		fr := &f.frame[i]
		for j := len(fr.maps) - 1; j >= 0; j-- {
			if fr.maps[j] == m {
				fr.maps = slices.Delete(fr.maps, j, j+1)
				fr.refs--
				return nil
			}
		}
	}
	return &Fault{Kind: FrameDoubleFree, VA: m.VA, ASID: m.ASID, Level: -1, PA: pa, Note: fmt.Sprintf("frame %v has no such mapping", pa)}
}

// Refs returns the reference count of the frame at pa: its mappings.
func (f *Frames) Refs(pa PhysAddr) int {
	if i, ok := f.index(pa); ok {
		return int(f.frame[i].refs)
	}
	return 0
}

// MappingsOf yields the reverse map of the frame at pa, oldest mapping first. It
// must not change meanwhile.
func (f *Frames) MappingsOf(pa PhysAddr) iter.Seq[Mapping] {
	return func(yield func(Mapping) bool) {
		if i, ok := f.index(pa); ok {
			for _, m := range f.frame[i].maps {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// Owns implements [FrameOwner]: every frame of the range is mapped by asid.
// O(mappings of the frames).
func (f *Frames) Owns(asid ASID, pa PhysAddr, size uint64) bool {
	if size == 0 || !f.mem.Contains(pa, size) {
		return false
	}
	last := pa + PhysAddr(size-1)
	for at := pa &^ PhysAddr(f.PageSize()-1); ; at += PhysAddr(f.PageSize()) {
		i, _ := f.index(at)
		if !f.frame[i].shared && !slices.ContainsFunc(f.frame[i].maps, func(m Mapping) bool { return m.ASID == asid }) {
			return false
		}
		if last-at < PhysAddr(f.PageSize()) {
			return true
		}
	}
}
