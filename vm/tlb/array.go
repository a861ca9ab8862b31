package tlb

import (
	"math/bits"
	"math/rand/v2"

	"github.com/memlab-go/memlab/vm"
)

// A slot holds one entry. Its context tells apart what the page number does
// not: validity, address space or global, and page size.
//
//	context bits   0-16 address space + 1, or globalCtx;  0: slot empty
//	               24-29 log2 of the page size
type slot struct {
	vpn   uint64 // page number: address >> shift
	frame uint64 // physical address of the frame
	ctx   uint32
	perm  uint8
	level int8
	refs  uint8
	ahead bool    // fetched ahead and not hit yet
	asid  vm.ASID // of the entry, a global one's too
}

const (
	globalCtx  = 1 << 17
	shiftShift = 24
)

// emptyTag is the tag of an empty slot. No page has it: page numbers and
// contexts leave the top bit of a tag clear.
const emptyTag = 1 << 63

// context returns the context of an address space's page of 2^shift bytes.
func context(asid vm.ASID, shift uint8) uint32 {
	return uint32(asid) + 1 | uint32(shift)<<shiftShift
}

// entryContext returns the context of e.
func entryContext(e vm.Entry) uint32 {
	if e.Global {
		return globalCtx | uint32(e.Shift)<<shiftShift
	}
	return context(e.ASID, e.Shift)
}

// tagOf mixes page number and context. Equal tags of one context are equal
// pages; across contexts a look at the slot decides.
func tagOf(vpn uint64, ctx uint32) uint64 { return vpn ^ uint64(ctx)<<40 }

func (s *slot) shift() uint8 { return uint8(s.ctx >> shiftShift) }

// entry returns what the slot holds, as Insert got it.
func (s *slot) entry() vm.Entry {
	sh := s.shift()
	return vm.Entry{
		Page: vm.VirtAddr(s.vpn << sh), Frame: vm.PhysAddr(s.frame), Perm: vm.Perm(s.perm),
		Shift: sh, Level: s.level, Refs: s.refs, Global: s.ctx&globalCtx != 0, ASID: s.asid,
	}
}

// newSlot returns the slot that holds e.
func newSlot(e vm.Entry) slot {
	return slot{
		vpn: uint64(e.Page) >> e.Shift, frame: uint64(e.Frame), ctx: entryContext(e),
		perm: uint8(e.Perm), level: e.Level, refs: e.Refs, asid: e.ASID,
	}
}

// An array is one set-associative memory.
//
// Laws: tags[i] is the tag of slots[i], emptyTag where that is empty; count[s] is
// the number of entries with shift s, sizes the set of shifts with count > 0, small
// the least of them (0 if none) and smallCtx its context, globals the number of global
// entries; if only is not 0, every entry has that context.
type array struct {
	conf    Array
	ways    int
	setMask uint64
	takes   uint64 // page sizes that may be kept, bit s for 2^s bytes

	tags  []uint64
	slots []slot
	stamp []uint64 // by slot: LRU, LFU: last use; FIFO: fill
	uses  []uint64 // by slot, LFU only
	tree  []uint64 // by set, PLRU only: bit n of node n (from 1) set: victim on the right
	hint  []uint16 // by set: a way, the one used last
	clock uint64
	rng   *rand.Rand

	count    [64]int
	sizes    uint64
	globals  int
	only     uint32
	valid    int
	small    uint8  // smallest of sizes
	smallCtx uint32 // its context, without the address space but with loud
	loud     uint32 // loudCtx if the policy must hear of every hit, else 0
	lru4     bool   // LRU with four ways

	// restless says that references jump between the ways of sets lately, so
	// that a branch on the way used last is mispredicted too often.
	restless bool
}

// aliasPad is a number of words between tags and stamps that keeps them apart
// modulo 4 KiB where the tags fill 4 KiB.
const aliasPad = 32

// loudCtx is a context bit that no slot has.
const loudCtx = 1 << 22

// newArray returns an empty array; conf has been checked.
func newArray(conf Array) *array {
	ways := conf.ways()
	sets := conf.Entries / ways
	a := &array{
		conf: conf, ways: ways, setMask: uint64(sets - 1), takes: conf.sizes(),
		slots: make([]slot, conf.Entries), hint: make([]uint16, sets),
	}
	// Tags and stamps lie side by side: a processor makes a load wait for a store
	// before it if the low 12 bits of their addresses are equal, and two arrays
	// that the runtime places alike would have every look-up wait for the last hits.
	words := make([]uint64, 2*conf.Entries+aliasPad)
	a.tags, a.stamp = words[:conf.Entries:conf.Entries], words[conf.Entries+aliasPad:]
	for i := range a.tags {
		a.tags[i] = emptyTag
	}
	a.lru4 = ways == 4 && (conf.Policy == "" || conf.Policy == LRU)
	switch conf.Policy {
	case LFU:
		a.uses = make([]uint64, conf.Entries)
		a.loud = loudCtx
	case PLRU:
		a.tree = make([]uint64, sets)
	case Random:
		a.rng = rand.New(rand.NewPCG(conf.Seed, 0x746c62))
	}
	return a
}

// setSmall notes the smallest page size of the array, after sizes changed.
func (a *array) setSmall() {
	a.small = uint8(bits.TrailingZeros64(a.sizes)) & 63
	a.smallCtx = uint32(a.small)<<shiftShift | a.loud
}

// quiet reports whether a hit on the way that was hit last in its set leaves
// the replacement state as it is, so that fast paths may skip [array.touch].
func (a *array) quiet() bool { return a.loud == 0 }

// find returns the index of the slot that translates va under asid, or -1.
// There is at most one.
func (a *array) find(asid vm.ASID, va uint64) int {
	for m := a.sizes; m != 0; m &= m - 1 {
		shift := uint8(bits.TrailingZeros64(m))
		vpn := va >> shift
		if i := a.findPage(vpn, context(asid, shift)); i >= 0 {
			return i
		}
		if a.globals > 0 {
			if i := a.findPage(vpn, globalCtx|uint32(shift)<<shiftShift); i >= 0 {
				return i
			}
		}
	}
	return -1
}

// findPage returns the index of the slot of a page, or -1.
func (a *array) findPage(vpn uint64, ctx uint32) int {
	tag := tagOf(vpn, ctx)
	base := int(vpn&a.setMask) * a.ways
	for i, t := range a.tags[base : base+a.ways] {
		if t == tag && a.slots[base+i].ctx == ctx {
			return base + i
		}
	}
	return -1
}

// touch tells the replacement policy of a hit in slot i.
func (a *array) touch(i int) {
	set := int(a.slots[i].vpn & a.setMask)
	way := i - set*a.ways
	a.hint[set] = uint16(way)
	switch a.conf.Policy {
	case "", LRU:
		a.clock++
		a.stamp[i] = a.clock
	case LFU:
		a.clock++
		a.stamp[i] = a.clock
		a.uses[i]++
	case PLRU:
		a.point(set, way)
	}
}

// point turns the bits on the path to way so that they lead away from it.
func (a *array) point(set, way int) {
	node, tree := 1, a.tree[set]
	for half := a.ways / 2; half > 0; half /= 2 {
		right := way&half != 0
		if right {
			tree &^= 1 << node
		} else {
			tree |= 1 << node
		}
		node *= 2
		if right {
			node++
		}
	}
	a.tree[set] = tree
}

// victim returns the index of the slot that the next entry of the set takes.
func (a *array) victim(set int) int {
	base := set * a.ways
	if a.valid < len(a.slots) {
		for i := base; i < base+a.ways; i++ {
			if a.slots[i].ctx == 0 {
				return i
			}
		}
	}
	switch a.conf.Policy {
	case PLRU:
		node := 1
		for node < a.ways {
			node = 2*node + int(a.tree[set]>>node&1)
		}
		return base + node - a.ways
	case Random:
		return base + a.rng.IntN(a.ways)
	}
	if a.uses == nil {
		return base + int(oldest(a.stamp[base:base+a.ways]))
	}
	best := base
	for i := base + 1; i < base+a.ways; i++ {
		if a.uses[i] < a.uses[best] || a.uses[i] == a.uses[best] && a.stamp[i] < a.stamp[best] {
			best = i
		}
	}
	return best
}

// stamped reports whether the least stamp of a set says what is replaced.
func (a *array) stamped() bool { return a.uses == nil && a.tree == nil && a.rng == nil }

// replaceOldest is fill for a stamped array, full of entries of the context of s.
func (a *array) replaceOldest(s slot) {
	set := s.vpn & a.setMask
	base := set * uint64(a.ways)
	way := oldest(a.stamp[base : base+uint64(a.ways)])
	at := base + way
	a.slots[at], a.tags[at] = s, tagOf(s.vpn, s.ctx)
	a.clock++
	a.stamp[at] = a.clock
	a.hint[set] = uint16(way)
}

// oldest returns the index of the first of the least stamps, without a branch on
// what they are.
func oldest(stamps []uint64) uint64 {
	least, at := ^uint64(0), uint64(0)
	for i, s := range stamps {
		_, less := bits.Sub64(s, least, 0)
		at ^= (at ^ uint64(i)) & -less
		least = min(least, s)
	}
	return at
}

// fill puts s, which no slot holds, into its set and returns what had to leave.
func (a *array) fill(s slot) (old slot, evicted bool) {
	set := int(s.vpn & a.setMask)
	i := a.victim(set)
	if old = a.slots[i]; old.ctx == s.ctx { // of the same kind: the counters stay
		a.put(i, set, s)
		return old, true
	}
	if old.ctx != 0 {
		evicted = true
		a.drop(i)
	}
	shift := s.shift()
	if a.valid == 0 {
		a.only = s.ctx
	} else if a.only != s.ctx {
		a.only = 0
	}
	a.valid++
	a.count[shift]++
	a.sizes |= 1 << shift
	a.setSmall()
	if s.ctx&globalCtx != 0 {
		a.globals++
	}
	a.put(i, set, s)
	return old, evicted
}

// put writes s to slot i of set and tells the replacement policy.
func (a *array) put(i, set int, s slot) {
	a.slots[i], a.tags[i] = s, tagOf(s.vpn, s.ctx)
	a.clock++
	a.stamp[i] = a.clock
	a.hint[set] = uint16(i - set*a.ways)
	switch {
	case a.uses != nil:
		a.uses[i] = 1
	case a.tree != nil:
		a.point(set, i-set*a.ways)
	}
}

// drop empties slot i, which holds an entry.
func (a *array) drop(i int) {
	s := &a.slots[i]
	shift := s.shift()
	if a.count[shift]--; a.count[shift] == 0 {
		a.sizes &^= 1 << shift
		a.setSmall()
	}
	if s.ctx&globalCtx != 0 {
		a.globals--
	}
	a.valid--
	*s = slot{}
	a.tags[i] = emptyTag
}

// dropOverlaps empties every slot whose page shares an address with e and that
// an address space sees beside e, and returns how many.
func (a *array) dropOverlaps(e vm.Entry) int {
	n := 0
	larger := a.sizes &^ (1<<e.Shift - 1)
	if e.Global || a.sizes&^larger != 0 { // any address space, or pages inside e's
		for i := range a.slots {
			if s := &a.slots[i]; s.ctx != 0 && overlaps(s, e) {
				a.drop(i)
				n++
			}
		}
		return n
	}
	for m := larger; m != 0; m &= m - 1 { // at most one page each covers e
		shift := uint8(bits.TrailingZeros64(m))
		vpn := uint64(e.Page) >> shift
		if i := a.findPage(vpn, context(e.ASID, shift)); i >= 0 {
			a.drop(i)
			n++
		}
		if a.globals > 0 {
			if i := a.findPage(vpn, globalCtx|uint32(shift)<<shiftShift); i >= 0 {
				a.drop(i)
				n++
			}
		}
	}
	return n
}

// overlaps reports whether some address under some address space hits both.
func overlaps(s *slot, e vm.Entry) bool {
	o := s.entry()
	if !o.Global && !e.Global && o.ASID != e.ASID {
		return false
	}
	shift := max(o.Shift, e.Shift)
	return o.Page>>shift == e.Page>>shift
}
