package trace

import "fmt"

// A Kind says what an [Op] does.
type Kind uint8

// The kinds of operation, with the letter that stands for each in a .rep file.
const (
	Malloc  Kind = iota // a id size
	Free                // f id
	Realloc             // r id size
	Calloc              // c id count size
)

// String returns the letter of k in a .rep file.
func (k Kind) String() string {
	if k > Calloc {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return "afrc"[k : k+1]
}

// NoID is the id of a Free of nil, which a .rep file writes as -1.
const NoID = -1

// An Op is one call of a program to its allocator. A block is known by an id,
// which may be used again after the block's end.
type Op struct {
	Kind  Kind
	ID    int32 // the block, or NoID for a Free of nil
	Count int64 // Calloc: how many elements, else 0
	Size  int64 // bytes asked for; Calloc: bytes of one element; Free: 0
}

// Bytes returns how many bytes the operation asks for: Size, or Count*Size for
// a Calloc, whose product a reader has checked not to overflow.
func (o Op) Bytes() int64 {
	if o.Kind == Calloc {
		return o.Count * o.Size
	}
	return o.Size
}

// A Trace is a program's calls to its allocator, in order. Readers hand out
// only traces that [Trace.Check] finds sound.
type Trace struct {
	Name      string // short name, from the file
	Prefix    bool   // the trace is the beginning of a longer one
	FullOps   int64  // operations of the longer one, when Prefix; 0 if nobody knows
	Suggested int64  // the header's heap size or peak payload in bytes; a hint
	Weight    int64  // the header's weight; of no meaning here
	IDs       int    // every Op.ID is below
	Ops       []Op
}

// PeakLive returns the largest sum of the sizes of live blocks, in bytes. O(ops).
func (t *Trace) PeakLive() int64 {
	size := make([]int64, t.IDs)
	var live, peak int64
	for _, o := range t.Ops {
		if o.ID == NoID {
			continue
		}
		live += o.Bytes() - size[o.ID]
		size[o.ID] = o.Bytes()
		peak = max(peak, live)
	}
	return peak
}

// Head returns the first n operations of t as a trace marked as a prefix, or t
// itself if it has no more than n. The operations are shared.
func (t *Trace) Head(n int) *Trace {
	if len(t.Ops) <= n {
		return t
	}
	h := *t
	h.Prefix, h.FullOps, h.Ops = true, t.full(), t.Ops[:n:n]
	h.IDs = 0
	for _, o := range h.Ops {
		h.IDs = max(h.IDs, int(o.ID)+1)
	}
	h.Suggested = h.PeakLive()
	return &h
}

func (t *Trace) full() int64 {
	if t.Prefix {
		return t.FullOps
	}
	return int64(len(t.Ops))
}

// Label names t for people: its name, and how much of it there is if it is a
// prefix.
func (t *Trace) Label() string {
	if !t.Prefix {
		return t.Name
	}
	if t.FullOps == 0 {
		return fmt.Sprintf("%s (first %d ops)", t.Name, len(t.Ops))
	}
	return fmt.Sprintf("%s (first %d of %d ops)", t.Name, len(t.Ops), t.FullOps)
}
