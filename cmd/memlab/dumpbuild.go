package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
)

// A dumper builds one single-stage case: address spaces with tables in a small
// piece of physical memory, then the accesses, made by our own walker in the same
// order in which they are listed.
type dumper struct {
	f    *pagetable.Format
	rng  *rand.Rand
	odd  bool // faults too
	opts pagetable.Options
	ctl  map[string]bool
	ram0 vm.PhysAddr // start of RAM
	mem  *vm.Memory
	pool *pagetable.Pool
	data []vm.PhysAddr // free 4 KiB frames for pages
	big  []vm.PhysAddr // free 4 MiB frames for pages
	c    *dumpCase

	spaces []*dumpSpace
	image  []byte // tables before the first query
}

// A dumpSpace is one address space of a case.
type dumpSpace struct {
	t      *pagetable.Table
	asid   vm.ASID
	listed bool // its mappings are listed, so it holds none that a listing gets wrong
	pages  []vm.Entry
}

const (
	dumpRAM    = 256 << 20 // bytes of RAM
	dumpTables = 8 << 20   // bytes for tables
	dataLo     = 64 << 20  // pages lie at ram0+dataLo to ram0+dataHi
	dataHi     = 224 << 20
	bigLo      = 128 << 20 // from here on frames of 4 MiB
)

func newDumper(f *pagetable.Format, seed uint64) *dumper {
	h := fnv.New64a()
	h.Write([]byte(f.Name))
	d := &dumper{
		f: f, rng: rand.New(rand.NewPCG(seed, h.Sum64())), odd: seed%2 == 1,
		ram0: ramStart(f.Arch), ctl: map[string]bool{},
		c: &dumpCase{Format: f.Name, RAM: "256M", files: map[string][]byte{}},
	}
	d.switches()
	base := d.ram0 + vm.PhysAddr(16<<20+d.rng.IntN(40<<20)&^0xffff)
	d.mem, _ = vm.NewMemory(make([]byte, dumpTables), base)
	d.pool = pagetable.NewPool(base, dumpTables>>12, 4096)
	d.opts.Frames = d.pool
	d.opts.RAMBase, d.opts.RAMSize = 0, 1<<min(d.f.PABits, 56)
	for pa := d.ram0 + dataLo; pa < d.ram0+bigLo; pa += 4096 {
		d.data = append(d.data, pa)
	}
	for pa := d.ram0 + bigLo; pa < d.ram0+dataHi; pa += 4 << 20 {
		d.big = append(d.big, pa)
	}
	d.rng.Shuffle(len(d.data), func(i, j int) { d.data[i], d.data[j] = d.data[j], d.data[i] })
	d.rng.Shuffle(len(d.big), func(i, j int) { d.big[i], d.big[j] = d.big[j], d.big[i] })
	return d
}

// ramStart is where the emulated boards have their memory.
func ramStart(a vm.Arch) vm.PhysAddr {
	switch a {
	case vm.ArchRISCV:
		return 0x8000_0000
	case vm.ArchARM:
		return 0x4000_0000
	}
	return 0
}

// switches throws the processor's switches.
func (d *dumper) switches() {
	coin := func(p float64) bool { return d.rng.Float64() < p }
	switch d.f.Arch {
	case vm.ArchX86:
		d.opts.PABits = 40 // what the emulated processor has
		d.opts.NoNXE = d.f.PTESize == 4 || coin(0.15)
		d.opts.NoWP = coin(0.3)
		d.opts.SMEP, d.opts.SMAP = coin(0.4), coin(0.4)
		d.ctl["nxe"], d.ctl["wp"] = !d.opts.NoNXE, !d.opts.NoWP
		d.ctl["smep"], d.ctl["smap"] = d.opts.SMEP, d.opts.SMAP
		d.opts.NoPGE = coin(0.15)
		d.opts.NoPSE = d.f.PTESize == 4 && coin(0.15) // elsewhere huge pages need no switch
		d.ctl["pge"], d.ctl["pcide"], d.ctl["pse"] = !d.opts.NoPGE, d.f.VABits > 32, !d.opts.NoPSE
	case vm.ArchRISCV:
		if d.f.PTESize == 8 {
			d.opts.Svnapot, d.opts.Svpbmt = coin(0.6), coin(0.6)
			d.ctl["svnapot"], d.ctl["svpbmt"] = d.opts.Svnapot, d.opts.Svpbmt
		}
	case vm.ArchARM:
		ha := coin(0.5)
		hd := ha && coin(0.5)
		d.opts.SoftwareAccessed, d.opts.SoftwareDirty = !ha, !hd
		d.opts.WXN = coin(0.3)
		d.ctl["ha"], d.ctl["hd"], d.ctl["wxn"] = ha, hd, d.opts.WXN
	}
}

// build makes the case.
func (d *dumper) build() (*dumpCase, error) {
	for n := range 2 + d.rng.IntN(2) {
		s, err := d.space(vm.ASID(n+1), true)
		if err != nil {
			return nil, err
		}
		if err := d.populate(s); err != nil {
			return nil, err
		}
	}
	populated := d.spaces
	odd, err := d.space(0, false)
	if err != nil {
		return nil, err
	}
	var plans []func()
	if plans, err = d.oddities(odd); err != nil {
		return nil, err
	}
	fences, err := d.fences()
	if err != nil {
		return nil, err
	}
	d.image = d.tables()
	d.c.Root, d.c.Ctl = hexa(d.spaces[0].t.Root()), d.ctl
	for _, s := range populated {
		d.accesses(s)
		d.misses(s)
	}
	for _, ask := range plans {
		ask()
	}
	fences.run()
	d.finish()
	if len(d.c.Queries) < 200 {
		return nil, fmt.Errorf("%s: only %d queries came out", d.f.Name, len(d.c.Queries))
	}
	return d.c, nil
}

// tables copies the frames that tables were taken from.
func (d *dumper) tables() []byte {
	b, _ := d.mem.Bytes(d.mem.Base(), uint64(d.pool.Next()-d.mem.Base()))
	return append([]byte(nil), b...)
}

// finish lists memory before and after, and the mappings as they are at the end.
func (d *dumper) finish() {
	c := d.c
	c.files["mem.bin"] = d.image
	c.Segments = []dumpSegment{{hexa(d.mem.Base()), "mem.bin"}}
	if !d.odd {
		c.files["after.bin"] = d.tables()
		c.After = []dumpSegment{{hexa(d.mem.Base()), "after.bin"}}
	}
	if d.f.Arch == vm.ArchARM {
		return // the judge cannot compare them there
	}
	for _, s := range d.spaces {
		if !s.listed {
			continue
		}
		for e := range s.t.Mappings() {
			c.Mappings = append(c.Mappings, dumpMapping{hexa(e.Page), hexa(e.Frame), e.Size(), hexa(s.t.Root())})
		}
	}
}

// space adds an empty address space.
func (d *dumper) space(asid vm.ASID, listed bool) (*dumpSpace, error) {
	o := d.opts
	t, err := pagetable.New(d.mem, d.f, &o)
	if err != nil {
		return nil, err
	}
	s := &dumpSpace{t: t, asid: asid, listed: listed}
	d.spaces = append(d.spaces, s)
	return s, nil
}

// regions are starts of areas in which a space has pages: some low, some high,
// one in the upper half where there is one.
func (d *dumper) regions() []vm.VirtAddr {
	bits := d.f.VABits
	var at []uint64
	switch {
	case bits == 32:
		at = []uint64{0x40_0000, 0x4000_0000, 0x8000_0000}
	default:
		at = []uint64{0x10_0000, 1<<(bits-7) + 0x5_4000_0000&(1<<(bits-2)-1), 1 << (bits - 2), 1<<(bits-1) + 1<<(bits-3), 1<<bits - 1<<(bits-5)}
		if d.f.Arch == vm.ArchARM {
			at = at[:4]
		}
	}
	var out []vm.VirtAddr
	for _, a := range at {
		out = append(out, d.f.Extend(vm.VirtAddr(a)))
	}
	return out
}

// perm draws rights that the format can express.
func (d *dumper) perm() vm.Perm {
	p := vm.PermR
	for _, r := range []vm.Perm{vm.PermW, vm.PermX, vm.PermU} {
		if d.rng.IntN(100) < 60 {
			p |= r
		}
	}
	if d.f.Arch == vm.ArchRISCV && d.rng.IntN(10) == 0 {
		p = p&^(vm.PermR|vm.PermW) | vm.PermX // execute-only
	}
	return p
}

// attr draws the attributes of a page. Without hardware that sets the accessed
// bit, it is set from the start, as an operating system would.
func (d *dumper) attr() pagetable.Attr {
	a := pagetable.Attr{Perm: d.perm(), Global: d.rng.IntN(8) == 0}
	a.Accessed = d.opts.SoftwareAccessed || d.rng.IntN(4) == 0
	if d.rng.IntN(8) == 0 {
		a.Perm |= vm.PermD
	}
	if d.opts.Svpbmt && d.rng.IntN(4) == 0 {
		a.MemoryType = uint8(1 + d.rng.IntN(2))
	}
	return a
}

// frame takes a free frame for a page of the given size. Pages of a gigabyte and
// more overlap all the others.
func (d *dumper) frame(size uint64) vm.PhysAddr {
	if size < 2<<20 {
		pa := d.data[0]
		if size > 4096 { // 64 KiB: from the area of the large ones
			pa = d.big[0] + vm.PhysAddr(d.rng.IntN(32))<<16
			return pa
		}
		d.data = d.data[1:]
		return pa
	}
	if size <= 4<<20 {
		pa := d.big[0]
		d.big = append(d.big[1:], pa) // large frames may come round again
		return pa
	}
	return (d.ram0 + dataLo) &^ vm.PhysAddr(size-1)
}

// populate maps pages of all sizes, then takes rights away in upper levels.
func (d *dumper) populate(s *dumpSpace) error {
	for _, base := range d.regions() {
		for range 6 + d.rng.IntN(8) {
			va := base + vm.VirtAddr(d.rng.IntN(64))<<12
			if d.rng.IntN(3) == 0 {
				va = base + vm.VirtAddr(d.rng.IntN(4096))<<12
			}
			if err := d.mapPage(s, va, 4096); err != nil {
				return err
			}
		}
	}
	for i := range d.f.Levels[:len(d.f.Levels)-1] {
		l := d.f.Levels[i]
		if !l.Leaf || l.Size() > 1<<56 || d.opts.NoPSE {
			continue
		}
		for range 2 + d.rng.IntN(2) {
			base := d.regions()[d.rng.IntN(len(d.regions()))]
			va := (base + vm.VirtAddr(l.Size())*vm.VirtAddr(5+d.rng.IntN(8))) &^ vm.VirtAddr(l.Size()-1)
			if d.f.VABits == 32 {
				va = (base + 0x1000_0000 + vm.VirtAddr(d.rng.IntN(40))*vm.VirtAddr(l.Size())) &^ vm.VirtAddr(l.Size()-1)
			}
			if i == 0 && d.f.VABits > 32 { // root entries: those of no region, and not the last
				va = d.f.Extend(vm.VirtAddr(3+d.rng.IntN(9)) << l.Shift)
			}
			if err := d.mapPage(s, d.f.Extend(va), l.Size()); err != nil {
				return err
			}
		}
	}
	d.restrict(s)
	for e := range s.t.Mappings() {
		s.pages = append(s.pages, e)
	}
	return nil
}

// mapPage maps one page unless something is there.
func (d *dumper) mapPage(s *dumpSpace, va vm.VirtAddr, size uint64) error {
	if d.reservedSlot(va) {
		return nil
	}
	err := s.t.MapAttr(va, d.frame(size), size, size, d.attr())
	if f, ok := err.(*vm.Fault); ok && (f.Kind == vm.AlreadyMapped || f.Kind == vm.BadLength || f.Kind == vm.NonCanonical) {
		return nil
	}
	return err
}

// reservedSlot reports whether va lies under a root entry that the judge needs
// for itself: x86's must have one that no address space uses.
func (d *dumper) reservedSlot(va vm.VirtAddr) bool {
	if d.f.Arch != vm.ArchX86 {
		return false
	}
	l := d.f.Levels[0]
	slot := uint64(va) >> l.Shift & (1<<l.Bits - 1)
	return slot == 1<<l.Bits-1 || slot == 1<<l.Bits-2 && d.f.VABits == 32 && l.Bits > 2
}

// restrict takes rights away from whole tables, where the format has such bits.
func (d *dumper) restrict(s *dumpSpace) {
	for e := range s.t.Mappings() {
		level := int(e.Level) + 1 + d.rng.IntN(3)
		if d.rng.IntN(12) != 0 || level >= len(d.f.Levels) {
			continue
		}
		addr, pte, ok := s.t.Locate(e.Page, level)
		if !ok || d.f.Levels[len(d.f.Levels)-1-level].Plain {
			continue
		}
		size := uint64(d.f.PTESize)
		switch d.rng.IntN(3) {
		case 0:
			d.mem.Store(addr, size, pte&^d.f.TableWrite|d.f.TableNoWrite)
		case 1:
			d.mem.Store(addr, size, pte&^d.f.TableUser|d.f.TableNoUser)
		default:
			if !d.opts.NoNXE {
				d.mem.Store(addr, size, pte|d.f.TableNoExec)
			}
		}
	}
}
