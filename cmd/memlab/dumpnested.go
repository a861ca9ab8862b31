package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
)

// A nestedDumper builds a two-stage case: guests whose tables lie at
// guest-physical addresses that a second stage scatters over memory.
type nestedDumper struct {
	name          string
	first, second *pagetable.Format
	d             *dumper // randomness, switches, frames, the case; its format is first
	host          pagetable.Options
	guests        []*dumpGuest
}

// A dumpGuest is one guest: first-stage tables over a second stage.
type dumpGuest struct {
	g      *pagetable.Table // second stage
	v      *pagetable.Nested
	asid   vm.ASID
	vmid   uint16
	vas    []vm.VirtAddr // addresses to ask for
	root   vm.PhysAddr
	tables []vm.PhysAddr // guest-physical addresses of first-stage tables
	odd    bool          // has the oddities, so its second stage is not listed: a listing gets some wrong
}

const guestTables = vm.PhysAddr(0x3000_0000) // guest-physical base of first-stage tables

func newNestedDumper(name string, first, second *pagetable.Format, seed uint64) *nestedDumper {
	d := newDumper(first, seed)
	h := fnv.New64a()
	h.Write([]byte(name))
	d.rng = rand.New(rand.NewPCG(seed, h.Sum64()))
	d.c.Format = name
	d.ctl = map[string]bool{}
	d.opts = pagetable.Options{}
	d.switches()
	d.opts.Svnapot = false // its groups are asked for without a second stage
	if first.Arch == vm.ArchRISCV {
		d.ctl["svnapot"] = false
	} else {
		delete(d.ctl, "pcide")
		delete(d.ctl, "pse")
	}
	n := &nestedDumper{name: name, first: first, second: second, d: d}
	n.host = pagetable.Options{Frames: d.pool, RAMSize: 1 << 56, Svpbmt: d.opts.Svpbmt}
	if first.Arch == vm.ArchX86 {
		n.host.PABits = 40
	}
	return n
}

// build makes the case.
func (n *nestedDumper) build() (*dumpCase, error) {
	d := n.d
	for k := range 3 {
		g := &dumpGuest{asid: vm.ASID(k + 3), vmid: uint16(k + 1), odd: k == 2}
		if err := n.guest(g); err != nil {
			return nil, fmt.Errorf("%s: %w", n.name, err)
		}
		n.guests = append(n.guests, g)
	}
	d.image = d.tables()
	d.c.Root, d.c.HRoot, d.c.Ctl = hexa(n.guests[0].root), hexa(n.guests[0].g.Root()), d.ctl
	for _, g := range n.guests {
		n.ask(g)
	}
	for reps := 0; len(d.c.Queries) < 200 && reps < 8; reps++ {
		n.ask(n.guests[reps%2])
	}
	c := d.c
	c.files["mem.bin"] = d.image
	c.Segments = []dumpSegment{{hexa(d.mem.Base()), "mem.bin"}}
	if !d.odd {
		c.files["after.bin"] = d.tables()
		c.After = []dumpSegment{{hexa(d.mem.Base()), "after.bin"}}
	}
	if n.first.Arch == vm.ArchRISCV {
		for _, g := range n.guests {
			if g.odd {
				continue
			}
			for e := range g.g.Mappings() {
				c.GMappings = append(c.GMappings, dumpGMapping{hexa(e.Page), hexa(e.Frame), e.Size(), hexa(g.g.Root())})
			}
		}
	}
	if len(c.Queries) < 200 {
		return nil, fmt.Errorf("%s: only %d queries came out", n.name, len(c.Queries))
	}
	return c, nil
}

// guest builds one guest: its pages, then its tables moved to where the second
// stage puts them.
func (n *nestedDumper) guest(g *dumpGuest) error {
	o := n.host
	var err error
	if g.g, err = pagetable.New(n.d.mem, n.second, &o); err != nil {
		return err
	}
	mem, err := vm.NewMemory(make([]byte, 2<<20), guestTables)
	if err != nil {
		return err
	}
	pool := pagetable.NewPool(guestTables, 2<<20>>12, 4096)
	fo := n.d.opts
	fo.Frames, fo.RAMBase, fo.RAMSize = pool, 0, 1<<56
	v, err := pagetable.New(mem, n.first, &fo)
	if err != nil {
		return err
	}
	g.root = v.Root()
	if err := n.fill(g, v, mem); err != nil {
		return err
	}
	for gpa := guestTables; gpa < pool.Next(); gpa += 4096 {
		if err := n.moveTable(g, mem, gpa); err != nil {
			return err
		}
	}
	fo.RAMSize = 0
	if g.v, err = pagetable.NewNested(n.first, g.root, g.g, &fo); err != nil {
		return err
	}
	if n.d.odd && !g.odd {
		n.damage(g)
	}
	return nil
}

// fill maps a guest's pages; mem holds its tables.
func (n *nestedDumper) fill(g *dumpGuest, v *pagetable.Table, mem *vm.Memory) error {
	if g.odd {
		return errors.Join(n.guestOddities(g, v, mem), n.hostOddities(g, v))
	}
	return errors.Join(n.pages(g, v), n.gigapages(g, v))
}

// moveTable puts a first-stage table into memory, at a frame that the second
// stage maps its guest-physical address to.
func (n *nestedDumper) moveTable(g *dumpGuest, mem *vm.Memory, gpa vm.PhysAddr) error {
	for range n.d.rng.IntN(3) { // leave frames of the second stage between
		if _, err := n.d.pool.AllocFrames(1); err != nil {
			return err
		}
	}
	pa, err := n.d.pool.AllocFrames(1)
	if err != nil {
		return err
	}
	from, _ := mem.Bytes(gpa, 4096)
	to, _ := n.d.mem.Bytes(pa, 4096)
	copy(to, from)
	g.tables = append(g.tables, gpa)
	return g.g.Map(vm.VirtAddr(gpa), pa, 4096, 4096, vm.PermR|vm.PermW|vm.PermU)
}

// gpaRegions are areas of guest-physical addresses that pages are put in.
func (n *nestedDumper) gpaRegions() []vm.PhysAddr {
	at := []vm.PhysAddr{0x5000_0000, 0x8000_0000, 0x12_3440_0000, 0x40_0000_0000}
	if n.first.Arch == vm.ArchRISCV {
		at = append(at, 0x81_0000_0000, 0xc5_0000_0000)
		if n.second.VABits > 41 {
			at = append(at, 0x8000_1000_0000, 0x1_2345_0000_0000)
		}
	}
	return at
}

// pages maps pages of both sizes at both stages, with rights drawn for each.
func (n *nestedDumper) pages(g *dumpGuest, v *pagetable.Table) error {
	d := n.d
	areas := d.regions()
	for k := range 44 {
		va := areas[k%len(areas)] + vm.VirtAddr(d.rng.IntN(1024))<<12
		gpa := n.gpaRegions()[d.rng.IntN(len(n.gpaRegions()))] + vm.PhysAddr(d.rng.IntN(2048))<<12
		if err := n.pair(g, v, va, gpa, 4096, 4096); err != nil {
			return err
		}
	}
	const big = 2 << 20
	for k := range 6 { // large over large, large over small, small over large
		va := areas[k%len(areas)]&^(1<<30-1) + 0x800_0000 + vm.VirtAddr(k)*big
		gpa := vm.PhysAddr(0x6000_0000 + k*4*big)
		sizes := [3][2]uint64{{big, big}, {big, 4096}, {4096, big}}[k%3]
		if err := n.pair(g, v, va, gpa, sizes[0], sizes[1]); err != nil {
			return err
		}
	}
	return nil
}

// pair maps va to gpa in the first stage and gpa to a frame in the second.
func (n *nestedDumper) pair(g *dumpGuest, v *pagetable.Table, va vm.VirtAddr, gpa vm.PhysAddr, size1, size2 uint64) error {
	d := n.d
	a1, a2 := d.attr(), d.attr()
	a2.Perm |= vm.PermR
	if !d.odd || d.rng.IntN(10) > 0 {
		a2.Perm |= vm.PermU // without it every access faults
	}
	if !d.odd {
		a1.Perm |= vm.PermR
	}
	if d.reservedSlot(va) || isMapped(v, va) || isMapped(g.g, vm.VirtAddr(gpa)) {
		return nil
	}
	if err := v.MapAttr(va, gpa, size1, size1, a1); err != nil {
		return ignoreOverlap(err)
	}
	at := va + vm.VirtAddr(d.rng.IntN(512)*8)
	if d.odd && d.rng.IntN(12) == 0 {
		g.vas = append(g.vas, at) // nothing in the second stage
		return nil
	}
	if err := g.g.MapAttr(vm.VirtAddr(gpa), d.frame(size2), size2, size2, a2); err != nil {
		return ignoreOverlap(err)
	}
	g.vas = append(g.vas, at)
	if size1 > 4096 && size2 == 4096 { // a few more parts of the large page
		for k := range 3 {
			off := uint64(k+1) * 0x5000
			if err := g.g.MapAttr(vm.VirtAddr(gpa)+vm.VirtAddr(off), d.frame(4096), 4096, 4096, a2); err != nil {
				return ignoreOverlap(err)
			}
			g.vas = append(g.vas, va+vm.VirtAddr(off))
		}
	}
	return nil
}

func isMapped(t *pagetable.Table, va vm.VirtAddr) bool {
	_, f := t.Probe(va)
	return f == nil
}

// ignoreOverlap drops AlreadyMapped, which a random layout runs into.
func ignoreOverlap(err error) error {
	if f, ok := err.(*vm.Fault); ok && f.Kind == vm.AlreadyMapped {
		return nil
	}
	return err
}

// damage takes the page of one first-stage table out of the second stage.
func (n *nestedDumper) damage(g *dumpGuest) {
	d := n.d
	gpa := g.tables[len(g.tables)-1]
	addr, pte, _ := g.g.Locate(vm.VirtAddr(gpa), 0)
	d.mem.Store(addr, 8, pte&^n.second.Present)
}

// ask asks for every address in every way.
func (n *nestedDumper) ask(g *dumpGuest) {
	d := n.d
	riscv := n.first.Arch == vm.ArchRISCV
	vas := append([]vm.VirtAddr(nil), g.vas...)
	if d.odd {
		for _, base := range d.regions() {
			vas = append(vas, base+vm.VirtAddr(d.rng.IntN(1<<20))<<12)
		}
		vas = append(vas, n.strays()...)
	}
	for _, va := range vas {
		if d.judges(va) {
			continue
		}
		for _, acc := range d.accessKinds() {
			if !riscv && acc.Op() == vm.Execute && !n.first.Canonical(va) {
				continue // a jump there faults at the jump, not at its target
			}
			if riscv {
				acc = n.quirks(g, va, acc|vm.Access(d.rng.IntN(8))*vm.SUM)
			}
			if e, f := g.v.Probe(va); f == nil {
				if pa := e.Addr(va); pa < d.ram0+dataLo || pa >= d.ram0+dataHi {
					continue
				}
			}
			e, f := g.v.Walk(va, acc)
			if f != nil && (!d.odd || f.Kind == vm.BadFrame || n.misreported(f)) {
				continue
			}
			q := query(va, acc, g.root, riscv, true)
			q.HRoot, q.ASID, q.VMID = hexa(g.g.Root()), g.asid, g.vmid
			o := outcomeOf(e.Addr(va), f)
			q.Expect = &o
			d.c.Queries = append(d.c.Queries, q)
		}
	}
}

// quirks stays clear of a habit of the judge: it repeats a privileged store
// without SUM in user mode, and if that succeeds, the store has happened.
func (n *nestedDumper) quirks(g *dumpGuest, va vm.VirtAddr, acc vm.Access) vm.Access {
	if acc.Op() == vm.Write && !acc.IsUser() {
		if _, f := g.v.WalkDry(va, acc|vm.User); f == nil {
			acc |= vm.SUM
		}
	}
	return acc
}

// misreported reports whether the emulator gives f another cause than the manual:
// a guest-page fault on a first-stage entry is "always reported for the original
// access type" (privileged specification, section 18.5.1), there always as a load.
func (n *nestedDumper) misreported(f *vm.Fault) bool {
	return n.first.Arch == vm.ArchRISCV && f.Access.Op() != vm.Read && f.HW.Vector >= 20 && strings.Contains(f.Note, "first-stage entry")
}
