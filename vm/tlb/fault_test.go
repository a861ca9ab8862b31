package tlb_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/tlb"
)

// A machine is an MMU with a TLB over Sv39 tables in real simulated memory.
type machine struct {
	*vm.MMU
	mem  *vm.Memory
	pool *pagetable.Pool
	tlb  *tlb.TLB
}

const (
	machineBase = 0x8000_0000
	page        = 4096
)

func newMachine(t *testing.T, spec string) *machine {
	t.Helper()
	mem, err := vm.NewMemory(make([]byte, 4<<20), machineBase)
	require.NoError(t, err)
	c, err := tlb.ParseSpec(spec)
	require.NoError(t, err)
	tl, err := tlb.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tl.Check()) })
	return &machine{vm.NewMMU(mem, &vm.MMUOptions{TLB: tl}), mem, pagetable.NewPool(machineBase, 64, page), tl}
}

// space makes an address space.
func (m *machine) space(t *testing.T) *pagetable.Table {
	t.Helper()
	sv39 := pagetable.Sv39
	pt, err := pagetable.New(m.mem, &sv39, &pagetable.Options{Frames: m.pool})
	require.NoError(t, err)
	return pt
}

// requireTranslation translates va for a read.
func (m *machine) requireTranslation(t *testing.T, va vm.VirtAddr, want vm.PhysAddr) {
	t.Helper()
	pa, err := m.Translate(va, vm.Read)
	require.NoError(t, err)
	require.Equal(t, want, pa)
}

const rw = vm.PermR | vm.PermW

// TestFault holds the rows of the fault table that concern TLBs.
func TestFault(t *testing.T) {
	t.Run("B15_stale_without_flush", testStale)
	t.Run("B16_asid_reuse_and_globals", testASIDs)
	t.Run("B17_geometry", testGeometry)
	t.Run("B17_mixed_sizes_never_hit_twice", testMixedSizes)
}

// testStale: after a change of the table without a flush, the old translation is
// returned and the checker says so; after the flush, all is right.
func testStale(t *testing.T) {
	const va = vm.VirtAddr(0x10000)
	old, next := vm.PhysAddr(machineBase+0x200000), vm.PhysAddr(machineBase+0x201000)
	for name, flush := range map[string]vm.Flush{
		"all": {}, "asid": vm.FlushASID(1), "va": vm.FlushVA(va), "va and asid": vm.FlushVAASID(va, 1), "invlpg": vm.Invlpg(va, 1),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, "8x2,16x4")
			pt := m.space(t)
			m.Switch(pt, 1)
			require.NoError(t, pt.Map(va, old, page, 0, rw))
			m.requireTranslation(t, va+8, old+8)
			require.NoError(t, m.CheckTLB())

			require.NoError(t, pt.Unmap(va, page))
			require.NoError(t, pt.Map(va, next, page, 0, rw))
			m.requireTranslation(t, va+8, old+8) // stale, as hardware would
			var stale *vm.StaleError
			require.ErrorAs(t, m.CheckTLB(), &stale)
			require.Equal(t, va, stale.At)
			require.Equal(t, old, stale.Held.Frame)

			require.Equal(t, 1, m.tlb.Flush(flush))
			require.NoError(t, m.CheckTLB())
			m.requireTranslation(t, va+8, next+8)
		})
	}
	t.Run("permission taken away", func(t *testing.T) {
		m := newMachine(t, "8x2")
		pt := m.space(t)
		m.Switch(pt, 1)
		require.NoError(t, pt.Map(va, old, page, 0, rw))
		_, err := m.Translate(va, vm.Write)
		require.NoError(t, err)
		require.NoError(t, pt.Protect(va, page, vm.PermR))
		_, err = m.Translate(va, vm.Write)
		require.NoError(t, err, "the stale entry still permits the write")
		require.Error(t, m.CheckTLB())
		m.tlb.Flush(vm.FlushVA(va))
		_, err = m.Translate(va, vm.Write)
		require.ErrorIs(t, err, vm.Protection)
	})
}

// testASIDs: a tag given to another space without a flush shows that space the
// old translations; entries of other tags and global ones stay.
func testASIDs(t *testing.T) {
	const va, shared = vm.VirtAddr(0x10000), vm.VirtAddr(0x20000)
	frame := func(n vm.PhysAddr) vm.PhysAddr { return machineBase + 0x200000 + n*page }
	m := newMachine(t, "16x4")
	a, b := m.space(t), m.space(t)
	for i, pt := range []*pagetable.Table{a, b} {
		require.NoError(t, pt.Map(va, frame(vm.PhysAddr(i)), page, 0, rw))
	}
	m.Switch(a, 1)
	m.requireTranslation(t, va, frame(0))
	m.Switch(b, 2)
	m.requireTranslation(t, va, frame(1)) // another tag: no flush needed
	m.Switch(a, 1)
	m.requireTranslation(t, va, frame(0))
	require.NoError(t, m.CheckTLB())

	m.Switch(b, 1) // the tag changes hands
	m.requireTranslation(t, va, frame(0))
	require.ErrorAs(t, m.CheckTLB(), new(*vm.StaleError))
	require.Equal(t, 1, m.tlb.Flush(vm.FlushASID(1)))
	m.requireTranslation(t, va, frame(1))
	require.NoError(t, m.CheckTLB())

	g := vm.Entry{Page: shared, Frame: frame(5), ASID: 1, Perm: rw, Shift: 12, Global: true}
	m.tlb.Insert(g, vm.Read)
	for asid := range vm.ASID(4) {
		got, hit := m.tlb.Lookup(asid, shared+4, vm.Read)
		require.True(t, hit, "a global entry is seen under every tag")
		require.Equal(t, g, got)
	}
	m.tlb.Flush(vm.FlushASID(1))
	_, hit := m.tlb.Lookup(3, shared, vm.Read)
	require.True(t, hit, "global entries survive the flush of a tag")
	require.Equal(t, 1, m.tlb.Flush(vm.Invlpg(shared, 1)))
	_, hit = m.tlb.Lookup(3, shared, vm.Read)
	require.False(t, hit)
}

// testGeometry: shapes that cannot be built are refused, and all faults named.
func testGeometry(t *testing.T) {
	array := func(a tlb.Array) tlb.Config { return tlb.Config{Levels: []tlb.Level{{Data: []tlb.Array{a}}}} }
	ok := tlb.Array{Entries: 4}
	for want, c := range map[string]tlb.Config{
		"no levels":                  {},
		"level 1 has no data array":  {Levels: []tlb.Level{{Instr: []tlb.Array{ok}}}},
		"0 entries":                  array(tlb.Array{Ways: 4}),
		"-1 entries":                 array(tlb.Array{Entries: -1}),
		"-2 ways":                    array(tlb.Array{Entries: 8, Ways: -2}),
		"16 ways of 8 entries":       array(tlb.Array{Entries: 8, Ways: 16}),
		"131072 ways, want at most":  array(tlb.Array{Entries: 1 << 17}),
		"3 ways do not divide 64":    array(tlb.Array{Entries: 64, Ways: 3}),
		"15 sets, not a power":       array(tlb.Array{Entries: 60, Ways: 4}),
		"999999999 entries":          array(tlb.Array{Entries: 999999999}),
		"unknown policy":             array(tlb.Array{Entries: 8, Policy: "mru"}),
		"plru needs a power of two":  array(tlb.Array{Entries: 12, Ways: 3, Policy: tlb.PLRU}),
		"page size 3000":             array(tlb.Array{Entries: 8, Pages: []uint64{3000}}),
		"page size 4096 twice":       array(tlb.Array{Entries: 8, Pages: []uint64{4096, 4096}}),
		"level 1 has no level":       {Levels: []tlb.Level{{Data: []tlb.Array{ok}, Inclusion: tlb.Exclusive}}},
		`unknown inclusion "mostly"`: {Levels: []tlb.Level{{Data: []tlb.Array{ok}}, {Data: []tlb.Array{ok}, Inclusion: "mostly"}}},
		"unknown prefetch":           {Levels: []tlb.Level{{Data: []tlb.Array{ok}}}, Prefetch: "all"},
		"walk cache 0: 0 entries":    {Levels: []tlb.Level{{Data: []tlb.Array{ok}}}, WalkCaches: []tlb.WalkCache{{Shift: 21}}},
		"shift 0 out of range":       {Levels: []tlb.Level{{Data: []tlb.Array{ok}}}, WalkCaches: []tlb.WalkCache{{Entries: 4}}},
	} {
		_, err := tlb.New(c)
		require.ErrorIs(t, err, tlb.ErrGeometry, want)
		require.ErrorContains(t, err, want)
		_, err = tlb.NewCores(2, c)
		require.ErrorIs(t, err, tlb.ErrGeometry)
	}
	_, err := tlb.NewCores(0, array(ok))
	require.ErrorIs(t, err, tlb.ErrGeometry)
	both := array(tlb.Array{})
	both.Levels = append(both.Levels, tlb.Level{Inclusion: "x"})
	_, err = tlb.New(both)
	require.Equal(t, 3, strings.Count(err.Error(), "bad geometry"), "all faults are named: %v", err)
}

// testMixedSizes: pages of 4 KiB, 2 MiB and 1 GiB over the same addresses; the
// entry inserted last is the only one that translates its page.
func testMixedSizes(t *testing.T) {
	for _, spec := range []string{"32x4", "16", "8x2,32x4"} {
		c, err := tlb.ParseSpec(spec)
		require.NoError(t, err)
		tl, err := tlb.New(c)
		require.NoError(t, err)
		shifts := []uint8{12, 21, 30}
		for i := range 500 {
			shift := shifts[i*7%3]
			va := vm.VirtAddr(i%5)<<30 | vm.VirtAddr(i%3)<<21 | vm.VirtAddr(i%11)<<12
			e := vm.Entry{Page: va &^ (1<<shift - 1), Frame: vm.PhysAddr(i) << 30, ASID: vm.ASID(i % 2), Perm: rw, Shift: shift, Global: i%17 == 0}
			tl.Insert(e, vm.Read)
			got, hit := tl.Lookup(e.ASID, va, vm.Read)
			require.True(t, hit)
			require.Equal(t, e, got)
			require.NoError(t, tl.Check())
		}
	}
}

// TestConfigErrors: JSON that is no configuration.
func TestConfigErrors(t *testing.T) {
	for want, in := range map[string]string{
		"unknown field":        `{"levels":[{"data":[{"entries":4}]}],"x":1}`,
		"more behind":          `{"levels":[{"data":[{"entries":4}]}]} {}`,
		"unexpected EOF":       `{"levels":[`,
		"bad geometry":         `{}`,
		"cannot unmarshal":     `{"levels":[{"data":[{"entries":"4"}]}]}`,
		"want ENTRIESxWAYS":    `64y4`,
		"want split:INSTR":     `split:64x4`,
		"with at least one":    `64x0`,
		"do not divide":        `64x4,1536x7`,
		"unknown policy":       `64x4:best`,
		"file does not exist":  `none.json`,
		"12 entries in 4 ways": `split:4/12x4`,
	} {
		_, err := tlb.Load(in, func(string) ([]byte, error) { return nil, fs.ErrNotExist })
		require.ErrorContains(t, err, want, in)
	}
}

func TestLoadReadsFilesOfAnyName(t *testing.T) {
	read := func(text string, err error) func(string) ([]byte, error) {
		return func(string) ([]byte, error) { return []byte(text), err }
	}
	c, err := tlb.Load("conf", read(`{"levels":[{"data":[{"entries":4}]}]}`, nil))
	require.NoError(t, err)
	require.Equal(t, 4, c.Levels[0].Data[0].Entries)
	_, err = tlb.Load("conf", read(`{}`, nil))
	require.ErrorContains(t, err, "conf: ")
	_, err = tlb.Load("conf", read("", fs.ErrPermission))
	require.ErrorIs(t, err, fs.ErrPermission)
	c, err = tlb.Load("64x4", read("", errors.New("a short form is no file")))
	require.NoError(t, err)
	require.Equal(t, 64, c.Levels[0].Data[0].Entries)
}
