package segregated

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/memlab-go/memlab/internal/pprof"
)

// site is a call stack and the live, traced blocks that it allocated.
type site struct {
	stack  uint32
	blocks int
	bytes  int // asked for
}

// sites returns the call stacks that have live blocks, most bytes first.
func (h *Heap) sites() []site {
	sum := map[uint32]site{}
	add := func(id uint32, size int) {
		if id > h.trace.stacks.base { // else not traced, or by an earlier process
			s := sum[id]
			sum[id] = site{id, s.blocks + 1, s.bytes + size}
		}
	}
	for _, b := range h.trace.blocks {
		add(b.stack, b.size)
	}
	if c := h.chk; c != nil {
		for _, r := range c.live() {
			if !r.freed {
				add(r.stack, int(r.size))
			}
		}
		if c.guards != nil {
			for _, r := range c.guards.live {
				add(r.stack, int(r.size))
			}
		}
	}
	sites := make([]site, 0, len(sum))
	for _, s := range sum {
		sites = append(sites, s)
	}
	slices.SortFunc(sites, func(a, b site) int {
		if a.bytes != b.bytes {
			return b.bytes - a.bytes
		}
		return int(a.stack) - int(b.stack)
	})
	return sites
}

// WriteProfile writes the live blocks by call stack as a gzipped pprof profile:
// inuse_objects and inuse_space, in blocks and in bytes asked for, as
// go tool pprof opens it. What Options.ProfileRate left out is made up for as
// in the runtime's own heap profile: the figures of a stack with blocks of s
// bytes on average are divided by the chance 1-e^(-s/rate) that such a block
// is traced. Blocks that an earlier process allocated ([Open]) are left out.
//
// The error is [errors.ErrUnsupported] for a heap without Options.ProfileRate,
// [alloc.ErrClosed] and the like, or the writer's. O(live blocks) in the modes
// Checked and Guarded, O(traced blocks) in mode Fast.
func (h *Heap) WriteProfile(w io.Writer) error {
	if h.trace == nil {
		return fmt.Errorf("segregated: no call stacks are traced (Options.ProfileRate): %w", errors.ErrUnsupported)
	}
	if h.closed || h.err != nil {
		return h.refusal("profile")
	}
	p := pprof.Profile{
		Types:  []pprof.ValueType{{Type: "inuse_objects", Unit: "count"}, {Type: "inuse_space", Unit: "bytes"}},
		Period: int64(h.trace.rate), PeriodType: pprof.ValueType{Type: "space", Unit: "bytes"},
		Default: "inuse_space",
	}
	for _, s := range h.sites() {
		blocks, bytes := scale(s.blocks, s.bytes, h.trace.rate)
		p.Samples = append(p.Samples, pprof.Sample{Stack: h.trace.stack(s.stack), Values: []int64{blocks, bytes}})
	}
	return p.Write(w)
}

// scale returns what the traced blocks of a stack stand for.
func scale(blocks, bytes, rate int) (int64, int64) {
	if rate <= 1 || blocks == 0 || bytes == 0 {
		return int64(blocks), int64(bytes)
	}
	avg := float64(bytes) / float64(blocks)
	f := 1 / (1 - math.Exp(-avg/float64(rate)))
	return int64(float64(blocks)*f + 0.5), int64(float64(bytes)*f + 0.5)
}
