package main

import (
	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
)

// An oddity is an entry made wrong, or made in a rare way, on purpose.
type oddity struct {
	level int // of the entry: 0 is the last
	set   uint64
	clear uint64
	good  bool // not wrong: even seeds use it too
}

// oddities fills a space with one page for each oddity, in areas of their own so
// that no entry spoils another, and returns what asks for them.
func (d *dumper) oddities(s *dumpSpace) ([]func(), error) {
	var asks []func()
	list := d.oddList()
	for n, o := range list {
		if !d.odd && !o.good {
			continue
		}
		va, size, ok := d.place(n, len(list), o.level)
		if !ok {
			continue
		}
		attr := pagetable.Attr{Perm: vm.PermR | vm.PermW | vm.PermX | vm.PermU, Accessed: d.opts.SoftwareAccessed}
		if err := s.t.MapAttr(va, d.frame(size), size, size, attr); err != nil {
			return nil, err
		}
		addr, pte, _ := s.t.Locate(va, o.level)
		d.mem.Store(addr, uint64(d.f.PTESize), pte&^o.clear|o.set)
		asks = append(asks, func() {
			for _, acc := range d.accessKinds() {
				d.ask(s, va+vm.VirtAddr(d.rng.IntN(64))*8, acc)
			}
		})
	}
	napot, err := d.napot(s)
	return append(asks, napot...), err
}

// place finds an area for oddity n: a 4 KiB page whose entry at the given level
// is shared with no other, or a huge page when the oddity is one of huge leaves
// (levels from 100 on).
func (d *dumper) place(n, of, level int) (va vm.VirtAddr, size uint64, ok bool) {
	size = 4096
	top := d.f.Levels[0]
	if d.f.VABits == 32 {
		shift := d.f.Levels[len(d.f.Levels)-2].Shift
		va = vm.VirtAddr(n+8)<<shift + 0x1000_0000
		if level > 0 && level == len(d.f.Levels)-1 && d.f.Name == "x86-pae" {
			return 0, 0, false
		}
	} else {
		va = d.f.Extend(vm.VirtAddr(n*2+16) << top.Shift)
		if top.Bits < 9 || n*2+16 > 250 {
			return 0, 0, false
		}
	}
	return va, size, true
}

// oddList lists the oddities of the format. Those that the emulated processor is
// known to see differently are left out.
func (d *dumper) oddList() []oddity {
	n := len(d.f.Levels)
	var list []oddity
	each := func(from, to int, o oddity) {
		for i := from; i < to; i++ {
			o.level = i
			list = append(list, o)
		}
	}
	each(0, n, oddity{clear: d.f.Present})
	switch d.f.Arch {
	case vm.ArchRISCV:
		each(0, n, oddity{set: 1 << 2, clear: 1<<1 | 1<<3}) // W alone
		each(0, n, oddity{set: 1<<2 | 1<<3, clear: 1 << 1}) // W and X
		each(1, n, oddity{set: 1 << 4})                     // U, A, D in a pointer
		each(1, n, oddity{set: 1 << 6})
		each(1, n, oddity{set: 1 << 7})
		list = append(list, oddity{clear: 7 << 1})    // a pointer at the last level
		each(0, 1, oddity{clear: 3 << 1, good: true}) // execute only
		each(0, 1, oddity{set: 3 << 8, good: true})   // software's bits
		each(1, n, oddity{set: 1 << 5, good: true})   // a global pointer
		if d.f.PTESize == 8 {
			if !d.opts.Svnapot && !d.opts.Svpbmt { // the emulator looks at these bits only then
				each(0, n, oddity{set: 1 << 54})
				each(0, n, oddity{set: 1 << 60})
			}
			each(1, n, oddity{set: 1 << 63})
			each(1, n, oddity{set: 1 << 61})
			switch {
			case d.opts.Svnapot:
				each(0, 1, oddity{set: 1<<63 | 15<<10})
			case !d.opts.Svpbmt:
				each(0, 1, oddity{set: 1 << 63})
			}
			each(0, 1, oddity{set: 1 << 61, good: d.opts.Svpbmt})
			each(0, 1, oddity{set: 1 << 62, good: d.opts.Svpbmt})
		}
		each(1, n, oddity{set: 1<<1 | 1<<3 | 1<<10}) // a huge leaf with a low frame bit
	case vm.ArchX86:
		if d.f.PTESize == 8 {
			each(0, n, oddity{set: 1 << 40})
			each(0, n, oddity{set: 1 << 51})
		}
		if d.f.PTESize == 8 && d.opts.NoNXE {
			each(0, n, oddity{set: 1 << 63})
		}
		for i := range d.f.Levels { // huge leaves where there are none, or with low frame bits
			l := d.f.Levels[n-1-i]
			if i > 0 && !l.Plain {
				list = append(list, oddity{level: i, set: 1<<7 | 1<<13, clear: 0})
				list = append(list, oddity{level: i, set: 1 << 7})
			}
		}
		if d.f.VABits > 32 {
			each(0, 1, oddity{set: 7 << 9, good: true}) // software's bits
			each(0, n, oddity{set: 0x7f << 52, good: true})
		}
	case vm.ArchARM:
		list = append(list, oddity{level: 0, clear: 2}) // the emulator takes a block at level 0 (3 here) for one
		each(0, 1, oddity{clear: 1 << 10})              // AF
		each(1, n, oddity{set: 1 << 61})                // APTable
		each(1, n, oddity{set: 1 << 62})
		each(1, n, oddity{set: 1<<59 | 1<<60, good: true})
		each(0, 1, oddity{set: 1 << 51, good: true}) // DBM, which means nothing without HD
		each(0, 1, oddity{set: 1<<51 | 1<<7})
		each(0, 1, oddity{set: 1 << 55, good: true}) // software's
	}
	return list
}

// napot maps 64 KiB pages (Svnapot) and asks for places in each of their sixteen
// parts. They are not among the listed mappings, since a listing of entries is
// not one of pages there.
func (d *dumper) napot(s *dumpSpace) ([]func(), error) {
	if !d.opts.Svnapot {
		return nil, nil
	}
	var asks []func()
	for n := range 3 {
		va := vm.VirtAddr(0x7000_0000 + n<<20)
		attr := d.attr()
		attr.Perm |= vm.PermR | vm.PermU
		if err := s.t.MapAttr(va, d.frame(64<<10), 64<<10, 64<<10, attr); err != nil {
			return nil, err
		}
		asks = append(asks, func() {
			for k := range 16 {
				at := va + vm.VirtAddr(k<<12+d.rng.IntN(512)*8)
				d.ask(s, at, vm.Read|vm.User)
				d.ask(s, at, vm.Write|vm.User)
				d.ask(s, at, vm.Execute|vm.User)
			}
		})
	}
	return asks, nil
}
