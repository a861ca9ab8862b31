package paging

import (
	"fmt"

	"github.com/memlab-go/memlab/vm/replace"
	"github.com/memlab-go/memlab/vm/tlb"
)

// Options say how the machines are built and what the program does. The zero value
// means the defaults.
type Options struct {
	TLB    string  // as [tlb.ParseSpec] has it; default "64x4,1536x12"
	Policy string  // of the machine that is short of memory, as [replace.ParseSpec] has it; default LRU
	Memory float64 // frames of that machine: a multiple of the peak live payload; default 1
	Uses   int     // uses of live blocks before each operation; default 4, negative: none
	Seed   uint64  // of the uses
	Huge   bool    // add the machine with huge pages
	Limit  int     // most bytes the heap may commit, 0: no limit

	// MaxAccesses ends a run with [replay.ErrStopped] that makes more accesses than
	// this, 0: no bound. An allocator whose searches are long would otherwise hold
	// everything else up; unlike a clock, the count is the same everywhere.
	MaxAccesses int64
	Stop        func() bool // asked now and then whether to end the run, nil: never
}

// DefaultTLB is the shape of data TLB that current desktop processors have, with
// 4 KiB pages: 64 entries, 4 ways, and 1536 entries, 12 ways, behind them.
const DefaultTLB = "64x4,1536x12"

// complete fills in the defaults and checks the rest.
func (o Options) complete() (Options, error) {
	if o.TLB == "" {
		o.TLB = DefaultTLB
	}
	if o.Policy == "" {
		o.Policy = "LRU"
	}
	if o.Memory == 0 {
		o.Memory = 1
	}
	if o.Uses == 0 {
		o.Uses = 4
	}
	if !(o.Memory > 0) || o.Memory > 1000 {
		return o, fmt.Errorf("paging: memory is %g times the peak live payload, want more than 0 and at most 1000", o.Memory)
	}
	if _, err := tlb.ParseSpec(o.TLB); err != nil {
		return o, err
	}
	spec, err := replace.ParseSpec(o.Policy)
	if err != nil {
		return o, err
	}
	if spec.Info.Future {
		return o, fmt.Errorf("paging: policy %s needs to know the references to come", spec)
	}
	return o, nil
}

// Check reports what is wrong with o.
func (o Options) Check() error {
	_, err := o.complete()
	return err
}

// A Result is what the machines counted while one allocator ran one trace. A page
// is 4 KiB.
type Result struct {
	TLB    string `json:"tlb"`
	Policy string `json:"policy"`
	Uses   int    `json:"uses"`
	Ops    int    `json:"ops"`

	Accesses int64 `json:"accesses"` // by allocator and program, cut at page boundaries
	Heap     int64 `json:"heap_accesses"`

	TLBMisses int64 `json:"tlb_misses"` // of the first level
	Walks     int64 `json:"walks"`      // missed in every level
	WalkRefs  int64 `json:"walk_refs"`  // memory references of these walks

	PageFaults   int64   `json:"page_faults"` // with ample memory: first touches, also of pages given back before
	PeakResident int     `json:"peak_resident_pages"`
	MeanResident float64 `json:"mean_resident_pages"` // over the operations
	TablePages   int     `json:"table_pages"`         // of page tables, at the end

	Tight Tight `json:"tight"`
	Huge  *Huge `json:"huge,omitempty"`

	Curve []CurvePoint `json:"curve,omitempty"`
}

// Tight is what the machine that is short of memory counted.
type Tight struct {
	Frames      int   `json:"frames"` // without those of page tables
	PageFaults  int64 `json:"page_faults"`
	MajorFaults int64 `json:"major_faults"` // of these, with a page read from swap
	SwapIns     int64 `json:"swap_ins"`     // pages
	SwapOuts    int64 `json:"swap_outs"`    // pages
	TLBMisses   int64 `json:"tlb_misses"`
}

// Huge is what the machine with huge pages counted.
type Huge struct {
	TLBMisses  int64 `json:"tlb_misses"`
	Walks      int64 `json:"walks"`
	WalkRefs   int64 `json:"walk_refs"`
	Promotions int64 `json:"promotions"`
	Demotions  int64 `json:"demotions"`
}

// A CurvePoint is how many page faults there are under LRU with so many frames.
type CurvePoint struct {
	Frames int   `json:"frames"`
	Faults int64 `json:"faults"`
}
