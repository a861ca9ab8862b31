package pagetable

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/memlab-go/memlab/vm"
)

// chains is a hash table in simulated memory, shared by [Hashed] and [Inverted]:
// an array of heads, then an array of nodes, linked by index.
//
//	base             base+4·buckets
//	├──────┬──────┬───┼────────────────┬────────────────┬───
//	│ head │ head │ … │ node 1         │ node 2         │ …
//	└──────┴──────┴───┴────────────────┴────────────────┴───
//
//	node, word 0:  63      16 15   0     word 1:  63        32 31     8 7      0
//	              ┌──────────┬──────┐            ┌────────────┬────────┬────────┐
//	              │ page     │ ASID │            │ frame      │ next   │ DAGUXWRV│
//	              └──────────┴──────┘            └────────────┴────────┴────────┘
//
// Index 0 ends a chain. Flags are Sv39's. An inverted table's node n stands for
// frame n-1, and its frame field is not used.
type chains struct {
	mem     *vm.Memory
	base    vm.PhysAddr
	buckets uint64
	nodes   uint64
	rules   plan // for rights and accessed and dirty bits
	mu      sync.Mutex
	sink    vm.Sink
}

const (
	nodeSize  = 16
	chainPage = 12 // log2 of the page size
	nextShift = 8
	nextMask  = 1<<24 - 1
	chainMask = rvV | rvR | rvW | rvX | rvU | rvG | rvA | rvD
	chainBits = 60 // address bits that a node can hold
)

// chainBytes returns the memory that buckets and nodes take.
func chainBytes(buckets, nodes uint64) uint64 { return (4*buckets+7)&^7 + nodes*nodeSize }

func newChains(mem *vm.Memory, base vm.PhysAddr, buckets, nodes int) (*chains, error) {
	if buckets <= 0 || nodes <= 0 || nodes > nextMask {
		return nil, fmt.Errorf("pagetable: %d buckets and %d nodes: want 1 and more, at most %d nodes", buckets, nodes, nextMask)
	}
	c := &chains{mem: mem, base: base, buckets: uint64(buckets), nodes: uint64(nodes)}
	if base%8 != 0 || !mem.Contains(base, chainBytes(c.buckets, c.nodes)) {
		return nil, fmt.Errorf("pagetable: a table of %#x bytes does not fit at %v", chainBytes(c.buckets, c.nodes), base)
	}
	mem.Zero(base, chainBytes(c.buckets, c.nodes))
	f := riscv64("chains", "hash chains", 3, 0)
	f.Arch = vm.NoArch
	o := Options{}
	if err := o.validate(&f, mem); err != nil {
		return nil, err
	}
	c.rules = newPlan(&f, &o)
	return c, nil
}

func (c *chains) head(tag uint64) vm.PhysAddr {
	h := tag * 0x9e37_79b9_7f4a_7c15 >> 32 // Fibonacci hashing, Knuth 6.4
	return c.base + vm.PhysAddr(h%c.buckets*4)
}

func (c *chains) node(i uint64) vm.PhysAddr {
	return c.base + vm.PhysAddr((4*c.buckets+7)&^7+(i-1)*nodeSize)
}

func tagOf(asid vm.ASID, va vm.VirtAddr) uint64 {
	return uint64(va)>>chainPage<<16 | uint64(asid)
}

// find follows the chain of tag. link is where the index of the node stands; refs
// counts the entries read, which sink hears of if it is not nil. Damaged chains end
// after as many steps as there are nodes.
func (c *chains) find(tag uint64, sink vm.Sink) (i, word uint64, link vm.PhysAddr, refs int, ok bool) {
	link = c.head(tag)
	h, _ := c.mem.Load(link, 4)
	refs = 1
	for i = h & nextMask; i != 0 && i <= c.nodes && refs <= int(c.nodes); {
		at := c.node(i)
		t, _ := c.mem.Load(at, 8)
		word, _ = c.mem.Load(at+8, 8)
		refs++
		if sink != nil {
			sink(vm.Event{Kind: vm.EventStep, PTEAddr: at, PTE: word, VA: vm.VirtAddr(tag >> 16 << chainPage)})
		}
		if t == tag && word&rvV != 0 {
			return i, word, link, refs, true
		}
		link, i = at+8, word>>nextShift&nextMask
	}
	return 0, 0, link, refs, false
}

// setNext writes the index of a node to a head (4 bytes) or a node's second word.
func (c *chains) setNext(link vm.PhysAddr, i uint64) {
	if link < c.node(1) {
		c.mem.Store(link, 4, i)
		return
	}
	w, _ := c.mem.Load(link, 8)
	c.mem.Store(link, 8, w&^(nextMask<<nextShift)|i<<nextShift)
}

// push puts node i at the front of its chain.
func (c *chains) push(i, tag, word uint64) {
	link := c.head(tag)
	next, _ := c.mem.Load(link, 4)
	c.mem.Store(c.node(i), 8, tag)
	c.mem.Store(c.node(i)+8, 8, word&^(nextMask<<nextShift)|next&nextMask<<nextShift)
	c.mem.Store(link, 4, i)
}

// walk translates one page; frameOf says which frame a node stands for.
func (c *chains) walk(asid vm.ASID, va vm.VirtAddr, acc vm.Access, mode walkMode, frameOf func(i, word uint64) vm.PhysAddr) (vm.Entry, *vm.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fault := func(kind vm.FaultKind, at vm.PhysAddr, pte uint64) (vm.Entry, *vm.Fault) {
		return vm.Entry{}, &vm.Fault{Kind: kind, VA: va, Access: acc, ASID: asid, PTEAddr: at, PTE: pte}
	}
	if va>>chainBits != 0 {
		f := vm.Fault{Kind: vm.NonCanonical, VA: va, Access: acc, ASID: asid, Level: -1}
		return vm.Entry{}, &f
	}
	sink := c.sink
	if mode != modeAccess {
		sink = nil
	}
	i, word, link, refs, ok := c.find(tagOf(asid, va), sink)
	if !ok {
		return fault(vm.NotPresent, link, 0)
	}
	at := c.node(i) + 8
	if word&(rvR|rvW) == rvW {
		return fault(vm.ReservedEncoding, at, word)
	}
	rights := c.rules.leafRights(word & chainMask)
	if mode != modeProbe && !c.rules.permits(rights, acc) {
		_, f := fault(vm.Protection, at, word)
		f.Need, f.Have = needs(acc), rights
		return vm.Entry{}, f
	}
	frame := frameOf(i, word)
	if !c.mem.Contains(frame, 1<<chainPage) {
		_, f := fault(vm.BadFrame, at, word)
		f.PA = frame
		return vm.Entry{}, f
	}
	if mode == modeAccess {
		used := word | rvA
		if acc.Op() == vm.Write {
			used |= rvD
			rights |= vm.PermD
		}
		if used != word {
			c.mem.Store(at, 8, used)
		}
	}
	return vm.Entry{Page: va &^ (1<<chainPage - 1), Frame: frame, Perm: rights, Shift: chainPage, Refs: uint8(min(refs, 255)), Global: word&rvG != 0, ASID: asid}, nil
}

// checkMap checks the arguments of Map.
func checkMap(va vm.VirtAddr, pa vm.PhysAddr, length, pageSize uint64, perm vm.Perm) error {
	const page = 1 << chainPage
	switch {
	case pageSize != 0 && pageSize != page:
		return badRange(vm.BadPageSize, va)
	case length == 0 || length%page != 0 || va+vm.VirtAddr(length-1) < va:
		return badRange(vm.BadLength, va)
	case va>>chainBits != 0:
		return badRange(vm.NonCanonical, va)
	case (va+vm.VirtAddr(length-1))>>chainBits != 0:
		return badRange(vm.BadLength, va)
	case va%page != 0 || pa%page != 0:
		return badRange(vm.BadAlign, va)
	case perm&(vm.PermR|vm.PermW|vm.PermX) == 0, perm&vm.PermW != 0 && perm&vm.PermR == 0, perm&vm.PermPXN != 0:
		return badRange(vm.BadPerm, va)
	}
	return nil
}

// checkPages calls fn for each page and stops at a fault.
func checkPages(va vm.VirtAddr, length uint64, fn func(va vm.VirtAddr) error) error {
	for off := uint64(0); off < length; off += 1 << chainPage {
		if err := fn(va + vm.VirtAddr(off)); err != nil {
			return err
		}
	}
	return nil
}

// flagsOf encodes rights as a node's flags.
func (c *chains) flagsOf(perm vm.Perm) uint64 {
	w := uint64(rvV) | c.rules.rightsBits(perm)
	if perm&vm.PermD != 0 {
		w |= rvA
	}
	return w
}

// protect changes the rights of the pages of a range; all must be mapped.
func (c *chains) protect(asid vm.ASID, va vm.VirtAddr, length uint64, perm vm.Perm) error {
	if err := checkMap(va, 0, length, 0, perm); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.allMapped(asid, va, length); err != nil {
		return err
	}
	return checkPages(va, length, func(va vm.VirtAddr) error {
		i, word, _, _, _ := c.find(tagOf(asid, va), nil)
		c.mem.Store(c.node(i)+8, 8, word&^(rvR|rvW|rvX|rvU)|c.rules.rightsBits(perm&^vm.PermD))
		return nil
	})
}

func (c *chains) allMapped(asid vm.ASID, va vm.VirtAddr, length uint64) error {
	return checkPages(va, length, func(va vm.VirtAddr) error {
		if _, _, _, _, ok := c.find(tagOf(asid, va), nil); !ok {
			return badRange(vm.NotMapped, va)
		}
		return nil
	})
}

// unmap takes the pages of a range out of their chains and calls gone with each
// node; all must be mapped.
func (c *chains) unmap(asid vm.ASID, va vm.VirtAddr, length uint64, gone func(i uint64)) error {
	if err := checkMap(va, 0, length, 0, vm.PermR); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.allMapped(asid, va, length); err != nil {
		return err
	}
	return checkPages(va, length, func(va vm.VirtAddr) error {
		i, word, link, _, _ := c.find(tagOf(asid, va), nil)
		c.setNext(link, word>>nextShift&nextMask)
		c.mem.Store(c.node(i), 8, 0)
		c.mem.Store(c.node(i)+8, 8, 0)
		gone(i)
		return nil
	})
}

// setEvents has walks report the nodes they read.
func (c *chains) setEvents(sink vm.Sink) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sink = sink
}

// mappings yields the pages of one address space by address, as they are when the
// first is asked for.
func (c *chains) mappings(asid vm.ASID, frameOf func(i, word uint64) vm.PhysAddr) iter.Seq[vm.Entry] {
	return func(yield func(vm.Entry) bool) {
		for _, e := range c.collect(asid, frameOf) {
			if !yield(e) {
				return
			}
		}
	}
}

func (c *chains) collect(asid vm.ASID, frameOf func(i, word uint64) vm.PhysAddr) []vm.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []vm.Entry
	for i := uint64(1); i <= c.nodes; i++ {
		tag, _ := c.mem.Load(c.node(i), 8)
		word, _ := c.mem.Load(c.node(i)+8, 8)
		if word&rvV != 0 && vm.ASID(tag) == asid {
			all = append(all, vm.Entry{Page: vm.VirtAddr(tag >> 16 << chainPage), Frame: frameOf(i, word), ASID: asid,
				Perm: c.rules.leafRights(word & chainMask), Shift: chainPage, Global: word&rvG != 0})
		}
	}
	slices.SortFunc(all, func(a, b vm.Entry) int { return cmp.Compare(a.Page, b.Page) })
	return all
}

// permits is [vm.PageTable.Permits] for both kinds.
func (c *chains) permits(acc vm.Access) vm.PermSet {
	if !acc.Valid() {
		return 0
	}
	return c.rules.permit[acc]
}
