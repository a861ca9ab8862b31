package replace

import (
	"iter"
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// Aging keeps an 8-bit shift register for each page (Tanenbaum and Bos, section
// 3.4.7). A reference, or the load, sets the page's bit R. Every Interval
// references a tick shifts each register right by one, moves R into its top bit
// and clears R. The victim has the smallest value of R and register read as nine
// bits, R on top (without R a page would be evicted before its first tick); among
// equals, the one that has had the value longest, pages keeping their order at
// a tick. O(1), and O(resident pages) for a tick.
type Aging struct {
	list     rings // one list for each nine-bit value
	filled   [8]uint64
	value    []uint16 // by page
	interval int
	left     int
	pages    []vm.PageID // of tick, reused
}

// agingR is the bit R above the register.
const agingR = 1 << 8

// NewAging returns an empty Aging with a tick every interval references (at
// least 1).
func NewAging(interval int) *Aging {
	a := &Aging{list: newRings(2 * agingR), interval: max(interval, 1)}
	a.left = a.interval
	return a
}

// Hit implements [vm.Policy].
func (a *Aging) Hit(p vm.PageID, _ bool) {
	a.tick()
	if v := a.value[p]; v < agingR {
		a.drop(p)
		a.put(p, v|agingR)
	}
}

// Insert implements [vm.Policy].
func (a *Aging) Insert(p vm.PageID, _ bool) {
	a.tick()
	a.list.grow(p)
	growTo(&a.value, int(p)+1)
	a.put(p, agingR)
}

// Victim implements [vm.Policy].
func (a *Aging) Victim(vm.PageID) (vm.PageID, bool) {
	for w, m := range a.filled {
		if m != 0 {
			p := a.list.front(w<<6 + bits.TrailingZeros64(m))
			a.drop(p)
			return p, true
		}
	}
	return 0, false
}

// Remove implements [vm.Policy].
func (a *Aging) Remove(p vm.PageID) { a.drop(p) }

// Pages implements [vm.Lister]: smallest value first.
func (a *Aging) Pages() iter.Seq[vm.PageID] {
	return func(yield func(vm.PageID) bool) {
		for v := range 2 * agingR {
			for p := range a.list.all(v) {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// Register returns the shift register of the resident page p, and its bit R.
func (a *Aging) Register(p vm.PageID) (register uint8, r bool) {
	return uint8(a.value[p]), a.value[p] >= agingR
}

// put gives p a value and the last place among its equals.
func (a *Aging) put(p vm.PageID, v uint16) {
	a.value[p] = v
	a.list.pushBack(int(v), p)
	a.filled[v>>6] |= 1 << (v & 63)
}

// drop takes p out of the list of its value.
func (a *Aging) drop(p vm.PageID) {
	v := a.value[p]
	a.list.remove(int(v), p)
	if a.list.size[v] == 0 {
		a.filled[v>>6] &^= 1 << (v & 63)
	}
}

// tick counts a reference and shifts the registers when it is time.
func (a *Aging) tick() {
	if a.left == 0 {
		a.left = a.interval
		a.pages = a.pages[:0]
		for w := range a.filled {
			for m := a.filled[w]; m != 0; m &= m - 1 {
				h := w<<6 + bits.TrailingZeros64(m)
				for p, ok := a.list.popFront(h); ok; p, ok = a.list.popFront(h) {
					a.pages = append(a.pages, p)
				}
			}
			a.filled[w] = 0
		}
		for _, p := range a.pages {
			a.put(p, a.value[p]>>1) // R moves into the top bit of the register
		}
	}
	a.left--
}
