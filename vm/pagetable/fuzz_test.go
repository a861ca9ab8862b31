package pagetable

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
)

// walkFormats are the formats that the fuzzer picks from by number.
func walkFormats() []*Format {
	linear := LinearFormat(20, 12)
	return append(formats(), &Sv39x4, &Sv48x4, &NPT, &linear)
}

// fuzzTable makes a table of whatever is in image, repeated over 64 KiB.
func fuzzTable(image []byte, root uint64, format, switches uint8) *Table {
	list := walkFormats()
	f := list[int(format)%len(list)]
	buf := make([]byte, 64<<10)
	if f.Name == "tiny" {
		buf = buf[:256]
	}
	for i := range buf {
		if len(image) > 0 {
			buf[i] = image[i%len(image)]
		}
	}
	mem, err := vm.NewMemory(buf, 0)
	if err != nil {
		panic(err)
	}
	bit := func(n int) bool { return switches>>n&1 != 0 }
	o := Options{Svnapot: bit(0) && f.NapotBit != 0, Svpbmt: bit(1) && f.NapotBit != 0}
	if f.Arch == vm.ArchX86 {
		o.NoNXE, o.NoWP, o.NoPGE, o.NoPSE, o.SMEP, o.SMAP = bit(0), bit(1), bit(2), bit(3), bit(4), bit(5)
	} else {
		o.SoftwareAccessed, o.SoftwareDirty, o.WXN, o.PAN = bit(2), bit(3), bit(4), bit(5)
	}
	if bit(6) {
		o.RAMSize = 1 << 50
	}
	t, err := Open(mem, f, vm.PhysAddr(root%uint64(len(buf)))&^vm.PhysAddr(f.tableSize(len(f.Levels)-1)-1), &o)
	if err != nil {
		panic(err)
	}
	return t
}

// Any memory and any address end in at most as many reads as there are levels,
// with a mapping inside RAM or with a typed fault that changed nothing; the fast
// walk says the same where it says anything.
func FuzzWalk(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0}, uint64(0), uint64(0), uint8(0), uint8(4), uint8(0))
	f.Add([]byte{0xff}, uint64(4096), ^uint64(0), uint8(5), uint8(0), uint8(64))
	f.Add([]byte{0xe7, 0x10, 0, 0, 0, 0, 0, 0}, uint64(0), uint64(0x4321), uint8(1), uint8(0), uint8(0))
	f.Add([]byte{0xcf, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0}, uint64(0), uint64(0x1008), uint8(4), uint8(5), uint8(3))
	f.Fuzz(func(t *testing.T, image []byte, root, va uint64, acc, format, switches uint8) {
		tab := fuzzTable(image, root, format, switches)
		checkWalk(t, tab, vm.VirtAddr(va), vm.Access(acc))
		checkWalk(t, tab, tab.plan.format.Extend(vm.VirtAddr(va)), vm.Access(acc))
		_ = tab.Check()
		n := 0
		for range tab.Mappings() {
			if n++; n > 1000 {
				break
			}
		}
	})
}

func checkWalk(t *testing.T, tab *Table, va vm.VirtAddr, acc vm.Access) {
	before := append([]uint64(nil), tab.words...)
	fast, ok := tab.walkFast(va, acc)
	var batch [1]vm.PhysAddr
	inBatch := tab.walkBatch([]vm.VirtAddr{va}, acc, batch[:]) == 1
	reads, updates := 0, 0
	tab.SetEvents(func(e vm.Event) {
		switch e.Kind {
		case vm.EventStep:
			reads++
		case vm.EventUpdate:
			updates++
		}
	})
	e, fault := tab.Walk(va, acc)
	tab.SetEvents(nil)
	switch {
	case reads > len(tab.plan.format.Levels):
		t.Fatalf("%d reads", reads)
	case fault == nil && (!e.Contains(va) || !tab.inRAM(e.Frame, e.Size())):
		t.Fatalf("%v → %+v", va, e)
	case fault != nil && fault.Kind == 0, fault != nil && (updates != 0 || !equal(before, tab.words)):
		t.Fatalf("fault %v changed memory (%d updates)", fault, updates)
	case inBatch && (fault != nil || batch[0] != e.Addr(va) || updates != 0):
		t.Fatalf("%v %v: batch %v, exact %+v %v", va, acc, batch[0], e, fault)
	case ok && (fault != nil || fast != e || updates != 0):
		t.Fatalf("%v %v: fast %+v, exact %+v %v", va, acc, fast, e, fault)
	case fault == nil && acc.Valid() && !tab.Permits(acc).Has(e.Perm):
		t.Fatalf("%v %v: the walk allows what Permits denies: %v", va, acc, e.Perm)
	}
}

func equal(a, b []uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// The same for two stages: at most (n+1)(m+1)-1 reads.
func FuzzNestedWalk(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0}, uint64(0), uint64(0), uint8(0), false)
	f.Add([]byte{0xdf, 0, 0, 0, 0, 0, 0, 0}, uint64(0), uint64(0x8000), uint8(5), true)
	f.Add([]byte{0xe7, 0, 0, 0, 0, 0, 0, 0}, uint64(0), uint64(0x8000), uint8(1), true)
	f.Fuzz(func(t *testing.T, image []byte, root, va uint64, acc uint8, x86 bool) {
		format, first := uint8(10), &Sv39
		if x86 {
			format, first = 12, &X86_64
		}
		second := fuzzTable(image, root, format, 0)
		n, err := NewNested(first, vm.PhysAddr(root>>20&0xf000), second, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := append([]uint64(nil), second.words...)
		reads := 0
		n.SetEvents(func(e vm.Event) {
			if e.Kind == vm.EventStep {
				reads++
			}
		})
		e, fault := n.Walk(first.Extend(vm.VirtAddr(va)), vm.Access(acc))
		limit := (len(first.Levels)+1)*(len(second.plan.format.Levels)+1) - 1
		switch {
		case reads > limit:
			t.Fatalf("%d reads", reads)
		case fault == nil && int(e.Refs) != reads:
			t.Fatalf("Refs %d, %d reads", e.Refs, reads)
		case fault == nil && !second.inRAM(e.Frame, e.Size()):
			t.Fatalf("%+v", e)
		case fault != nil && !equal(before, second.words):
			t.Fatalf("fault %v changed memory", fault)
		case fault == nil && acc < vm.NumAccesses && vm.Access(acc).Valid() && !x86 && acc>>4 == 0 && !n.Permits(vm.Access(acc)).Has(e.Perm):
			t.Fatalf("%v: the walk allows what Permits denies: %v", vm.Access(acc), e.Perm)
		}
	})
}
