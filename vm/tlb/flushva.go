package tlb

import (
	"iter"
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// matches yields the slots that f drops: one set for each page size that the array
// holds where f names an address, else all.
func (a *array) matches(f vm.Flush) iter.Seq[int] {
	return func(yield func(int) bool) {
		if !f.OneVA {
			for i := range a.slots {
				if a.slots[i].ctx != 0 && f.Matches(a.slots[i].entry()) && !yield(i) {
					return
				}
			}
			return
		}
		for m := a.sizes; m != 0; m &= m - 1 {
			shift := uint8(bits.TrailingZeros64(m))
			vpn := uint64(f.VA) >> shift
			base := int(vpn&a.setMask) * a.ways
			for i := base; i < base+a.ways; i++ {
				s := &a.slots[i]
				if s.vpn == vpn && s.ctx != 0 && s.shift() == shift && f.Matches(s.entry()) && !yield(i) {
					return
				}
			}
		}
	}
}
