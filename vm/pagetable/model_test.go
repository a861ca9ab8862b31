package pagetable

import (
	"fmt"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A modelEntry is what the model knows of one smallest page.
type modelEntry struct {
	frame vm.PhysAddr
	perm  vm.Perm
}

// A model is the truth that page tables are held against: a map from page number
// to frame and rights.
type model struct {
	t     vm.Mapper
	tree  *Table // t, if it is a tree
	arch  vm.Arch
	shift uint8
	pages uint64 // smallest pages in play
	sizes []uint64
	m     map[uint64]modelEntry
	base  vm.VirtAddr
}

// modelAllowed says whether a fresh mapping with these rights admits the access:
// the rules of each architecture in one line each, for default options.
func modelAllowed(arch vm.Arch, name string, p vm.Perm, a vm.Access) bool {
	r, w, x, u := p&vm.PermR != 0, p&vm.PermW != 0, p&vm.PermX != 0, p&vm.PermU != 0
	op, user := a.Op(), a.IsUser()
	switch arch {
	case vm.ArchX86:
		noX := name == "x86-32"
		return (u || !user) && (op == vm.Read || op == vm.Write && w || op == vm.Execute && (x || noX))
	case vm.ArchARM:
		if op == vm.Execute {
			return x && (user && u || !user && !(u && w))
		}
		return (u || !user) && (op == vm.Read || w)
	}
	if user != u {
		return false
	}
	return op == vm.Read && r || op == vm.Write && w || op == vm.Execute && x
}

func (m *model) va(vpn uint64) vm.VirtAddr { return m.base + vm.VirtAddr(vpn<<m.shift) }

// drawRange draws a range of pages, seldom one that leaves the area in play.
func (m *model) drawRange(t *rapid.T) (vpn, n, size uint64) {
	size = rapid.SampledFrom(m.sizes).Draw(t, "size")
	per := size >> m.shift
	vpn = rapid.Uint64Range(0, m.pages/per-1).Draw(t, "page") * per
	n = min(rapid.Uint64Range(1, 5).Draw(t, "count")*per, m.pages-vpn)
	return vpn, n, size
}

func drawPerm(t *rapid.T) vm.Perm {
	return rapid.SampledFrom([]vm.Perm{
		vm.PermR, vm.PermR | vm.PermW, vm.PermR | vm.PermX, vm.PermX, vm.PermR | vm.PermW | vm.PermX,
		vm.PermR | vm.PermU, vm.PermR | vm.PermW | vm.PermU, vm.PermR | vm.PermX | vm.PermU, vm.PermX | vm.PermU, vm.PermR | vm.PermW | vm.PermX | vm.PermU,
	}).Draw(t, "perm")
}

func (m *model) has(vpn, n uint64) (some, all bool) {
	all = true
	for k := range n {
		_, ok := m.m[vpn+k]
		some, all = some || ok, all && ok
	}
	return some, all
}

func kindOf(err error) vm.FaultKind {
	if f, ok := err.(*vm.Fault); ok && f != nil {
		return f.Kind
	}
	return 0
}

// Map maps a range; the model predicts whether that works.
func (m *model) Map(t *rapid.T) {
	vpn, n, size := m.drawRange(t)
	perm := drawPerm(t)
	frame := rapid.Uint64Range(0, 64).Draw(t, "frame") * size
	if m.tree == nil { // frames are few: those of the table
		frame = 0x8000_0000 + rapid.Uint64Range(0, m.pages-n).Draw(t, "frame")<<m.shift
	}
	if m.tree != nil && m.tree.plan.format.Name == "tiny" {
		frame = frame % 192 &^ (size - 1)
		if frame+n<<m.shift > 192 {
			n = (192 - frame) / size * size >> m.shift
		}
	}
	err := m.t.Map(m.va(vpn), vm.PhysAddr(frame), n<<m.shift, size, perm)
	some, _ := m.has(vpn, n)
	switch k := kindOf(err); {
	case k == vm.OutOfFrames: // nothing may have changed; the invariant sees to it
	case some:
		require.Equal(t, vm.AlreadyMapped, k, "%v", err)
	case k == vm.AlreadyMapped && m.tree == nil: // an inverted table's frame is in use
	default:
		require.NoError(t, err)
		for i := range n {
			m.m[vpn+i] = modelEntry{vm.PhysAddr(frame + i<<m.shift), perm}
		}
	}
}

// Unmap removes a range.
func (m *model) Unmap(t *rapid.T) {
	vpn, n, _ := m.drawRange(t)
	m.alter(t, m.t.Unmap(m.va(vpn), n<<m.shift), vpn, n, func(k uint64) { delete(m.m, k) })
}

// Protect changes rights.
func (m *model) Protect(t *rapid.T) {
	vpn, n, _ := m.drawRange(t)
	perm := drawPerm(t)
	m.alter(t, m.t.Protect(m.va(vpn), n<<m.shift, perm), vpn, n, func(k uint64) { m.m[k] = modelEntry{m.m[k].frame, perm} })
}

func (m *model) alter(t *rapid.T, err error, vpn, n uint64, change func(uint64)) {
	_, all := m.has(vpn, n)
	if kindOf(err) == vm.OutOfFrames {
		return
	}
	if !all {
		require.Equal(t, vm.NotMapped, kindOf(err), "%v", err)
		return
	}
	require.NoError(t, err)
	for i := range n {
		change(vpn + i)
	}
}

// Split and Merge change no translation, whether they succeed or not.
func (m *model) Split(t *rapid.T) {
	if m.tree == nil {
		t.Skip("no huge pages")
	}
	vpn, _, _ := m.drawRange(t)
	err := m.tree.Split(m.va(vpn))
	if _, ok := m.m[vpn]; !ok {
		require.Equal(t, vm.NotMapped, kindOf(err))
	}
}

// Merge joins small pages where they happen to fit.
func (m *model) Merge(t *rapid.T) {
	if m.tree == nil || len(m.sizes) == 1 {
		t.Skip("no huge pages")
	}
	vpn, _, _ := m.drawRange(t)
	err := m.tree.Merge(m.va(vpn), m.sizes[1])
	if err != nil {
		require.Contains(t, []vm.FaultKind{vm.NotMapped, vm.BadAlign, vm.Misuse}, kindOf(err), "%v", err)
	}
}

// Touch makes an access and compares it with the model.
func (m *model) Touch(t *rapid.T) {
	vpn := rapid.Uint64Range(0, m.pages-1).Draw(t, "page")
	op := rapid.SampledFrom([]vm.Access{vm.Read, vm.Write, vm.Execute}).Draw(t, "op")
	acc := op | rapid.SampledFrom([]vm.Access{0, vm.User}).Draw(t, "mode")
	va := m.va(vpn) + vm.VirtAddr(rapid.Uint64Range(0, 1<<m.shift-1).Draw(t, "offset"))
	m.touch(t, va, vpn, acc)
}

func (m *model) touch(t require.TestingT, va vm.VirtAddr, vpn uint64, acc vm.Access) {
	want, mapped := m.m[vpn]
	e, f := m.t.Walk(va, acc)
	name := ""
	if m.tree != nil {
		name = m.tree.plan.format.Name
		fast, ok := m.tree.walkFast(va, acc)
		if ok && (f != nil || fast != e) {
			require.Fail(t, "walks differ", "%v %v: fast %+v, exact %+v %v", va, acc, fast, e, f)
		}
	}
	switch {
	case !mapped:
		require.NotNil(t, f)
		require.Equal(t, vm.NotPresent, f.Kind)
	case !modelAllowed(m.arch, name, want.perm, acc):
		require.NotNil(t, f, "%v with %v", acc, want.perm)
		require.Equal(t, vm.Protection, f.Kind)
	default:
		require.Nil(t, f, "%v: %v", want.perm, f)
		require.Equal(t, want.frame+vm.PhysAddr(va)&(1<<m.shift-1), e.Addr(va))
	}
}

// check is the invariant after every step: Mappings says what the model says, and
// Check finds nothing.
func (m *model) check(t *rapid.T) {
	n := 0
	for e := range m.t.Mappings() {
		for k := range e.Size() >> m.shift {
			vpn := uint64(e.Page-m.base)>>m.shift + k
			want, ok := m.m[vpn]
			if got := e.Frame + vm.PhysAddr(k<<m.shift); !ok || got != want.frame {
				t.Fatalf("page %d is mapped to %v, want %v %v", vpn, got, want.frame, ok)
			}
			n++
		}
	}
	if n != len(m.m) {
		t.Fatalf("%d pages are mapped, want %d", n, len(m.m))
	}
	if m.tree != nil {
		require.NoError(t, m.tree.Check())
	}
}

func (m *model) run(rt *rapid.T) {
	rt.Repeat(map[string]func(*rapid.T){
		"Map": m.Map, "Unmap": m.Unmap, "Protect": m.Protect, "Split": m.Split, "Merge": m.Merge, "Touch": m.Touch, "": m.check,
	})
}

// Random operations on every format against a map.
func TestModel(t *testing.T) {
	for _, f := range formats() {
		t.Run(f.Name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				small := f.PageSize()
				o := Options{Svnapot: f.NapotBit != 0 && rapid.Bool().Draw(rt, "svnapot")}
				tab, _ := newTestTable(t, f, o)
				m := &model{t: tab, tree: tab, arch: f.Arch, shift: f.PageShift(), m: map[uint64]modelEntry{}, sizes: []uint64{small}}
				for i := 1; i < len(f.Levels) && len(m.sizes) < 2; i++ {
					if l := f.level(i); l.Leaf {
						m.sizes = append(m.sizes, l.Size())
					}
				}
				m.pages = 2 * m.sizes[1] / small
				if f.Name == "tiny" {
					m.pages = 16
				} else {
					m.base = f.Extend(1<<(f.VABits-1) + 1<<(f.VABits-2))
				}
				if o.Svnapot {
					m.sizes = append(m.sizes, 64<<10)
				}
				m.run(rt)
			})
		})
	}
}

// The same for the tables that are no trees.
func TestModelClassic(t *testing.T) {
	const frames = 32
	for _, name := range []string{"linear", "hashed", "inverted"} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				mem, err := vm.NewMemory(make([]byte, 256<<10), 0x8000_0000)
				require.NoError(rt, err)
				m := &model{shift: 12, pages: frames, sizes: []uint64{4096}, m: map[uint64]modelEntry{}, base: 0x10_0000}
				switch name {
				case "linear":
					f := LinearFormat(22, 12)
					tab, err := New(mem, &f, &Options{Frames: NewPool(0x8000_0000, 16, 4096), RAMSize: 1 << 32})
					require.NoError(rt, err)
					m.t, m.tree = tab, tab
				case "hashed":
					m.t, err = NewHashed(mem, 0x8003_0000, rapid.IntRange(1, 40).Draw(rt, "buckets"), 24)
				default:
					var inv *Inverted
					inv, err = NewInverted(mem, 0x8003_0000, rapid.IntRange(1, 40).Draw(rt, "buckets"), 0x8000_0000, frames)
					if err == nil {
						other := inv.Space(8) // another space's page must not be seen
						require.NoError(rt, other.Map(m.base, 0x8001_f000, 4096, 0, vm.PermR))
						m.t = inv.Space(7)
					}
				}
				require.NoError(rt, err)
				m.run(rt)
			})
		})
	}
}

// A table with all kinds of mappings, walked at every page by both walkers and as
// a batch, for every access.
func TestFastAndBatchAgreeWithExact(t *testing.T) {
	for _, f := range formats() {
		t.Run(f.Name, func(t *testing.T) {
			tab, _ := newTestTable(t, f, Options{})
			small := f.PageSize()
			for i, p := range []vm.Perm{vm.PermR, vm.PermR | vm.PermW, vm.PermR | vm.PermX, vm.PermR | vm.PermU, vm.PermR | vm.PermW | vm.PermX | vm.PermU, vm.PermR | vm.PermW | vm.PermU | vm.PermD} {
				require.NoError(t, tab.MapAttr(vm.VirtAddr(i)*vm.VirtAddr(small), vm.PhysAddr(i)*vm.PhysAddr(small), small, small, Attr{Perm: p, Global: i%2 == 0}))
			}
			var vas []vm.VirtAddr
			for i := range vm.VirtAddr(8) {
				vas = append(vas, i*vm.VirtAddr(small)+i)
			}
			for a := range vm.Access(vm.NumAccesses) {
				pas := make([]vm.PhysAddr, len(vas))
				for i, va := range vas {
					n, f1 := tab.WalkAll(vas[i:i+1], a, pas)
					e, f2 := tab.Walk(va, a)
					require.Equal(t, f2 == nil, f1 == nil, "%v %v", va, a)
					require.Equal(t, f2, f1)
					if f2 == nil {
						require.Equal(t, 1, n)
						require.Equal(t, e.Addr(va), pas[0])
						fast, ok := tab.walkFast(va, a)
						if ok {
							require.Equal(t, fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", fast))
						}
						require.Equal(t, a.Valid() && tab.Permits(a).Has(e.Perm), true)
					}
				}
			}
		})
	}
}
