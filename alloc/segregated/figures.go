package segregated

import "fmt"

// The header lies where a stray write can reach it. What it says is kept once more in the Heap,
// which goes by that: a damaged header neither leads it astray nor makes Calloc return what is not
// zero. Each figure is written in both places, and compared when the data grows, when the heap is
// closed, and by Check. The header of a file that Open is given is all that there is: it is checked
// by its sum, or as far as its figures go together.

// safeFigures are those of the header, see there, but for the first granule and the top, which Heap has
// beside them.
type safeFigures struct {
	dirty, highest, commit uint64
	kindsEnd, unitsEnd     uint64
	root                   uint64
	classes, layout        uint32
}

// trustHeader takes over what the header says.
func (h *Heap) trustHeader() {
	d := h.hdr
	h.first, h.top, h.end = d.first, d.top, d.end<<granuleShift
	h.safe = safeFigures{
		dirty: d.dirty, highest: d.highest, commit: d.commit,
		kindsEnd: d.kindsEnd, unitsEnd: d.unitsEnd, root: d.root, classes: d.classes, layout: d.layout,
	}
}

// setDirty, setHighest, setCommit, setRoot and setClasses change a figure in both places.

func (h *Heap) setDirty(g uint64) { h.hdr.dirty, h.safe.dirty = g, g }

func (h *Heap) setHighest(g uint64) { h.hdr.highest, h.safe.highest = g, g }

func (h *Heap) setCommit(g uint64) { h.hdr.commit, h.safe.commit = g, g }

func (h *Heap) setRoot(off uint64) { h.hdr.root, h.safe.root = off, off }

func (h *Heap) setClasses(n int) { h.hdr.classes, h.safe.classes = uint32(n), uint32(n) }

// figure is one of the header's that is not what it was left at.
type figure struct {
	name     string
	is, want uint64
}

func (f figure) String() string {
	return fmt.Sprintf("the %s in the header is %#x, was left at %#x", f.name, f.is, f.want)
}

// wrongFigures is an iterator over those that are.
func (h *Heap) wrongFigures(yield func(figure) bool) {
	d, s := h.hdr, &h.safe
	for _, f := range [...]figure{
		{"first granule", d.first, h.first},
		{"end", d.end, h.endGranule()},
		{"top", d.top, h.top},
		{"dirty end", d.dirty, s.dirty},
		{"highest top", d.highest, s.highest},
		{"committed end", d.commit, s.commit},
		{"end of the kinds", d.kindsEnd, s.kindsEnd},
		{"end of the rows", d.unitsEnd, s.unitsEnd},
		{"root", d.root, s.root},
		{"number of classes", uint64(d.classes), uint64(s.classes)},
		{"layout", uint64(d.layout), uint64(s.layout)},
		{"seed", d.seed, h.seed},
		{"page size", uint64(d.pageSize), h.pageSize},
	} {
		if f.is != f.want && !yield(f) {
			return
		}
	}
}

// isSound reports whether the figures of the header are what they were left at. If one is not, the
// heap is damaged.
func (h *Heap) isSound() bool {
	for f := range h.wrongFigures {
		return h.fail("%v", f)
	}
	return true
}
