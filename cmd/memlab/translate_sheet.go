package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
)

// A sheet is a worksheet: tables, and walks through them in the order of the
// questions. The walks have been made, so the rows were copied before them.
type sheet struct {
	name, title, ruler string
	seed               uint64
	width              int // of an entry in hexadecimal digits
	root               vm.PhysAddr
	rows               []sheetRow
	walks              []*pagetable.Trace

	trace func(vm.VirtAddr, vm.Access) *pagetable.Trace
	first *pagetable.Format
}

// A sheetRow is an entry that is not zero.
type sheetRow struct {
	Table  hexa   `json:"table"`
	Index  uint64 `json:"index"`
	PTE    hexa   `json:"entry"`
	Fields string `json:"fields"`
}

// newSheet makes the worksheet of a format and a seed with count questions.
func newSheet(format string, seed uint64, count int) (*sheet, error) {
	first, second, err := sheetFormat(format)
	if err != nil {
		return nil, err
	}
	b := &sheetBuilder{rng: rand.New(rand.NewPCG(seed, 0x73686565)), first: first}
	s := &sheet{name: format, title: first.Title, seed: seed, first: first, width: 2 * int(first.PTESize), ruler: first.Ruler()}
	if second != nil {
		err = b.nested(s, second)
		s.title += " over " + second.Title
	} else {
		err = b.single(s)
	}
	if err != nil {
		return nil, err
	}
	for _, q := range b.questions(count) {
		s.walks = append(s.walks, s.trace(q.va, q.acc))
	}
	return s, nil
}

// ask replaces the questions by one address.
func (s *sheet) ask(va, access string) error {
	n, err := strconv.ParseUint(va, 0, 64)
	if err != nil {
		return fmt.Errorf("-va %q is not an address", va)
	}
	var acc vm.Access
	for _, c := range access {
		switch c {
		case 'r':
		case 'w':
			acc |= vm.Write
		case 'x':
			acc |= vm.Execute
		case 'u':
			acc |= vm.User
		case 's':
		default:
			return fmt.Errorf("-access %q: want r, w or x, and u for user mode", access)
		}
	}
	if !acc.Valid() {
		return fmt.Errorf("-access %q: one of r, w and x", access)
	}
	s.walks = []*pagetable.Trace{s.trace(vm.VirtAddr(n), acc)}
	return nil
}

// A sheetBuilder draws a small address space.
type sheetBuilder struct {
	rng   *rand.Rand
	first *pagetable.Format
	pages []vm.VirtAddr // starts of mapped pages
	sizes []uint64
}

type sheetQuestion struct {
	va  vm.VirtAddr
	acc vm.Access
}

// single builds one stage: four small pages in two places, a huge one.
func (b *sheetBuilder) single(s *sheet) error {
	base, frames := ramStart(b.first.Arch)+0x10_0000, 24
	if b.first.Name == "tiny" {
		base, frames = 0, 8
	}
	page := b.first.PageSize()
	mem, err := vm.NewMemory(make([]byte, max(uint64(frames)*page, 256)), base)
	if err != nil {
		return err
	}
	o := &pagetable.Options{Frames: pagetable.NewPool(base, frames, page), RAMSize: 1 << min(b.first.PABits, 56)}
	t, err := pagetable.New(mem, b.first, o)
	if err != nil {
		return err
	}
	if err := b.populate(t, base); err != nil {
		return err
	}
	s.trace, s.root = t.Trace, t.Root()
	s.addRows(t)
	return nil
}

// nested builds a guest over a second stage.
func (b *sheetBuilder) nested(s *sheet, second *pagetable.Format) error {
	base := ramStart(b.first.Arch) + 0x10_0000
	mem, err := vm.NewMemory(make([]byte, 1<<20), base)
	if err != nil {
		return err
	}
	pool := pagetable.NewPool(base, 256, 4096)
	g, err := pagetable.New(mem, second, &pagetable.Options{Frames: pool, RAMSize: 1 << 40})
	if err != nil {
		return err
	}
	guest, err := vm.NewMemory(make([]byte, 24*4096), guestTables)
	if err != nil {
		return err
	}
	gpool := pagetable.NewPool(guestTables, 24, 4096)
	v, err := pagetable.New(guest, b.first, &pagetable.Options{Frames: gpool, RAMSize: 1 << 40})
	if err != nil {
		return err
	}
	if err := b.populate(v, 0x4000_0000); err != nil {
		return err
	}
	rights := vm.PermR | vm.PermW | vm.PermX | vm.PermU
	for gpa := guestTables; gpa < gpool.Next(); gpa += 4096 {
		pa, err := pool.AllocFrames(1)
		if err != nil {
			return err
		}
		from, _ := guest.Bytes(gpa, 4096)
		to, _ := mem.Bytes(pa, 4096)
		copy(to, from)
		if err := g.Map(vm.VirtAddr(gpa), pa, 4096, 4096, rights); err != nil {
			return err
		}
	}
	for e := range v.Mappings() {
		if b.rng.IntN(5) > 0 && e.Size() == 4096 {
			if err := g.Map(vm.VirtAddr(e.Frame), base+0x80_0000+vm.PhysAddr(b.rng.IntN(256))<<12, 4096, 4096, rights); err != nil {
				return err
			}
		}
	}
	n, err := pagetable.NewNested(b.first, v.Root(), g, nil)
	if err != nil {
		return err
	}
	s.trace, s.root = n.Trace, v.Root()
	s.addRows(v)
	s.addRows(g)
	return nil
}

// populate maps small pages in a few places and one huge page. Frames are drawn
// from beyond the tables.
func (b *sheetBuilder) populate(t *pagetable.Table, base vm.PhysAddr) error {
	f := b.first
	page := f.PageSize()
	rights := []vm.Perm{vm.PermR | vm.PermU, vm.PermR | vm.PermW | vm.PermU, vm.PermR | vm.PermX | vm.PermU, vm.PermR | vm.PermW, vm.PermR | vm.PermW | vm.PermX | vm.PermU}
	add := func(va vm.VirtAddr, pa vm.PhysAddr, size uint64) error {
		va, pa = f.Extend(va)&^vm.VirtAddr(size-1), pa&^vm.PhysAddr(size-1)
		err := t.Map(va, pa, size, size, rights[b.rng.IntN(len(rights))])
		if k, ok := err.(*vm.Fault); ok && k.Kind == vm.AlreadyMapped {
			return nil
		}
		b.pages, b.sizes = append(b.pages, va), append(b.sizes, size)
		return err
	}
	if f.Name == "tiny" {
		for range 4 {
			if err := add(vm.VirtAddr(b.rng.IntN(96)), vm.PhysAddr(64+b.rng.IntN(192)), page); err != nil {
				return err
			}
		}
		return add(96, vm.PhysAddr(64+32*b.rng.IntN(6)), 32)
	}
	places := []vm.VirtAddr{vm.VirtAddr(b.rng.Uint64()) >> (65 - f.VABits), vm.VirtAddr(b.rng.IntN(1<<30)) + 0x10_0000}
	for i := range 4 {
		va := places[i/2] + vm.VirtAddr(b.rng.IntN(8))<<12
		if err := add(va, base+0x100_0000+vm.PhysAddr(b.rng.IntN(1<<12))<<12, page); err != nil {
			return err
		}
	}
	huge := f.Levels[len(f.Levels)-2].Size()
	return add(places[1]+vm.VirtAddr(3*huge), base+0x1000_0000, huge)
}

// questions draws accesses: most to mapped pages, some beside them, one that is
// not canonical where there are such.
func (b *sheetBuilder) questions(count int) []sheetQuestion {
	f := b.first
	var out []sheetQuestion
	for i := range count {
		k := b.rng.IntN(len(b.pages))
		va := b.pages[k] + vm.VirtAddr(b.rng.Uint64N(b.sizes[k]))
		switch {
		case i%5 == 3:
			va = f.Extend(va + vm.VirtAddr(b.rng.IntN(6)+1)*vm.VirtAddr(f.PageSize()))
		case i%9 == 8 && f.VABits != 32:
			va ^= 1 << (f.VABits + 1)
		}
		acc := []vm.Access{vm.Read, vm.Write, vm.Execute}[b.rng.IntN(3)]
		if b.rng.IntN(4) > 0 {
			acc |= vm.User
		}
		out = append(out, sheetQuestion{va, acc})
	}
	return out
}

// addRows lists the entries of a table tree that are not zero, table by table,
// the root first.
func (s *sheet) addRows(t *pagetable.Table) {
	f := t.Format()
	for a := range t.Tables() {
		for i := range uint64(1) << f.Levels[len(f.Levels)-1-a.Level].Bits {
			pte, _ := t.Memory().Load(a.Addr+vm.PhysAddr(i*uint64(f.PTESize)), uint64(f.PTESize))
			if pte != 0 {
				s.rows = append(s.rows, sheetRow{hexa(a.Addr), i, hexa(pte), strings.TrimSpace(f.Fields(pte))})
			}
		}
	}
}
