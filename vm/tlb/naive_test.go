package tlb

import (
	"slices"

	"github.com/memlab-go/memlab/vm"
)

// naiveArray is a second, independent implementation of one array: for each set
// a plain slice of ways (nil: empty) and the history of what happened to them.
type naiveArray struct {
	sets   [][]*naiveEntry
	policy Policy
	takes  []uint64
	clock  int
	tree   [][]bool // PLRU: node 1 is the root; true points right
}

type naiveEntry struct {
	vm.Entry
	used, filled, uses int
}

func newNaiveArray(a Array) *naiveArray {
	n := &naiveArray{policy: a.Policy, takes: a.Pages}
	ways := a.Ways
	if ways == 0 {
		ways = a.Entries
	}
	for range a.Entries / ways {
		n.sets = append(n.sets, make([]*naiveEntry, ways))
		n.tree = append(n.tree, make([]bool, ways))
	}
	return n
}

func (n *naiveArray) accepts(size uint64) bool {
	return len(n.takes) == 0 || slices.Contains(n.takes, size)
}

// lookup finds the entry for an address, looking everywhere.
func (n *naiveArray) lookup(asid vm.ASID, va vm.VirtAddr) *naiveEntry {
	for set, ways := range n.sets {
		for w, e := range ways {
			if e != nil && e.Contains(va) && (e.Global || e.ASID == asid) {
				n.clock++
				e.used, e.uses = n.clock, e.uses+1
				n.touchTree(set, w)
				return e
			}
		}
	}
	return nil
}

func (n *naiveArray) touchTree(set, way int) {
	lo, hi, node := 0, len(n.sets[set]), 1
	for n.policy == PLRU && hi-lo > 1 {
		mid := (lo + hi) / 2
		n.tree[set][node] = way < mid // the victim is on the other side
		if way < mid {
			hi, node = mid, 2*node
		} else {
			lo, node = mid, 2*node+1
		}
	}
}

// drop takes out what share an address with e under some address space.
func (n *naiveArray) drop(match func(vm.Entry) bool) (dropped []vm.Entry) {
	for _, ways := range n.sets {
		for w, e := range ways {
			if e != nil && match(e.Entry) {
				dropped = append(dropped, e.Entry)
				ways[w] = nil
			}
		}
	}
	return dropped
}

// fill puts e into its set and returns what left.
func (n *naiveArray) fill(e vm.Entry) (old *vm.Entry) {
	set := int(uint64(e.Page)>>e.Shift) % len(n.sets)
	ways := n.sets[set]
	w := slices.Index(ways, nil)
	if w < 0 {
		w = n.victim(set)
		old = &ways[w].Entry
	}
	n.clock++
	ways[w] = &naiveEntry{Entry: e, used: n.clock, filled: n.clock, uses: 1}
	n.touchTree(set, w)
	return old
}

func (n *naiveArray) victim(set int) int {
	ways := n.sets[set]
	if n.policy == PLRU {
		lo, hi, node := 0, len(ways), 1
		for hi-lo > 1 {
			mid := (lo + hi) / 2
			if n.tree[set][node] {
				lo, node = mid, 2*node+1
			} else {
				hi, node = mid, 2*node
			}
		}
		return lo
	}
	key := func(e *naiveEntry) []int {
		switch n.policy {
		case FIFO:
			return []int{e.filled}
		case LFU:
			return []int{e.uses, e.used}
		}
		return []int{e.used}
	}
	best := 0
	for w := range ways {
		if slices.Compare(key(ways[w]), key(ways[best])) < 0 {
			best = w
		}
	}
	return best
}

// naiveTLB is a hierarchy of naive arrays: [level][side].
type naiveTLB struct {
	conf   Config
	levels [][2][]*naiveArray
	counts [][2]SideStats
}

func newNaive(c Config) *naiveTLB {
	n := &naiveTLB{conf: c, counts: make([][2]SideStats, len(c.Levels))}
	for _, l := range c.Levels {
		var sides [2][]*naiveArray
		for _, a := range l.Data {
			sides[dataSide] = append(sides[dataSide], newNaiveArray(a))
		}
		sides[instrSide] = sides[dataSide]
		if l.Instr != nil {
			sides[instrSide] = nil
			for _, a := range l.Instr {
				sides[instrSide] = append(sides[instrSide], newNaiveArray(a))
			}
		}
		n.levels = append(n.levels, sides)
	}
	return n
}

func (n *naiveTLB) arrayFor(k, side int, e vm.Entry) *naiveArray {
	for _, a := range n.levels[k][side] {
		if a.accepts(e.Size()) {
			return a
		}
	}
	return nil
}

func (n *naiveTLB) lookup(asid vm.ASID, va vm.VirtAddr, side int) (vm.Entry, bool) {
	for k := range n.levels {
		n.counts[k][side].Lookups++
		for _, a := range n.levels[k][side] {
			e := a.lookup(asid, va)
			if e == nil {
				continue
			}
			found := e.Entry
			if k > 0 {
				n.promote(k, side, found, a)
			}
			return found, true
		}
		n.counts[k][side].Misses++
	}
	return vm.Entry{}, false
}

// promote brings an entry found in level k to the levels before it.
func (n *naiveTLB) promote(k, side int, e vm.Entry, from *naiveArray) {
	if n.conf.Levels[k].Inclusion == Exclusive && n.before(k, side, e) {
		from.drop(func(o vm.Entry) bool { return o == e })
	}
	for j := k - 1; j >= 0; j-- {
		if n.conf.Levels[j].Inclusion != Exclusive || !n.before(j, side, e) {
			n.fill(j, side, e)
		}
	}
}

func (n *naiveTLB) before(k, side int, e vm.Entry) bool {
	for j := range k {
		if n.arrayFor(j, side, e) != nil {
			return true
		}
	}
	return false
}

func (n *naiveTLB) fill(k, side int, e vm.Entry) {
	a := n.arrayFor(k, side, e)
	if a == nil {
		return
	}
	for _, ways := range a.sets {
		for _, o := range ways {
			if o != nil && o.Page == e.Page && o.Shift == e.Shift && o.Global == e.Global && (e.Global || o.ASID == e.ASID) {
				*a.lookup(o.ASID, o.Page) = naiveEntry{Entry: e, used: a.clock, filled: o.filled, uses: o.uses}
				return
			}
		}
	}
	n.dropSharers(k, side, e)
	old := a.fill(e)
	if old == nil {
		return
	}
	if n.conf.Levels[k].Inclusion == Inclusive {
		for j := range k {
			for s := range 2 {
				for _, b := range n.levels[j][s] {
					b.drop(func(o vm.Entry) bool {
						return o.Page == old.Page && o.Shift == old.Shift && o.Global == old.Global && (o.Global || o.ASID == old.ASID)
					})
				}
			}
		}
	}
	if k+1 < len(n.levels) && n.conf.Levels[k+1].Inclusion == Exclusive {
		n.fill(k+1, side, *old)
	}
}

func (n *naiveTLB) insert(e vm.Entry, side int) {
	for k := range n.levels {
		n.dropSharers(k, side, e)
	}
	for k := len(n.levels) - 1; k >= 0; k-- {
		if n.conf.Levels[k].Inclusion != Exclusive || !n.before(k, side, e) {
			n.fill(k, side, e)
		}
	}
}

// dropSharers drops what shares an address with e, from the levels before an
// inclusive one too.
func (n *naiveTLB) dropSharers(k, side int, e vm.Entry) {
	dropped := 0
	for _, b := range n.levels[k][side] {
		dropped += len(b.drop(func(o vm.Entry) bool { return sharesAddress(o, e) }))
	}
	if dropped == 0 || n.conf.Levels[k].Inclusion != Inclusive {
		return
	}
	for j := range k {
		for _, arrays := range n.levels[j] {
			for _, b := range arrays {
				b.drop(func(o vm.Entry) bool { return sharesAddress(o, e) })
			}
		}
	}
}

// sharesAddress reports whether some address space sees both at some address.
func sharesAddress(o, e vm.Entry) bool {
	sees := o.Global || e.Global || o.ASID == e.ASID
	return sees && (o.Contains(e.Page) || e.Contains(o.Page))
}

// entries returns the different entries that are held.
func (n *naiveTLB) entries() map[vm.Entry]bool {
	all := map[vm.Entry]bool{}
	for _, sides := range n.levels {
		for _, arrays := range sides {
			for _, a := range arrays {
				for _, ways := range a.sets {
					for _, e := range ways {
						if e != nil {
							all[e.Entry] = true
						}
					}
				}
			}
		}
	}
	return all
}

func (n *naiveTLB) flush(f vm.Flush) int {
	dropped := map[vm.Entry]bool{}
	for _, sides := range n.levels {
		for _, arrays := range sides {
			for _, a := range arrays {
				for _, e := range a.drop(f.Matches) {
					dropped[e] = true
				}
			}
		}
	}
	return len(dropped)
}
