package tlb_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/tlb"
)

// TestPresets: each can be built, says where its figures come from, and survives
// JSON.
func TestPresets(t *testing.T) {
	for _, p := range tlb.Presets() {
		require.NotEmpty(t, p.Source, p.Name)
		_, err := tlb.New(p)
		require.NoError(t, err, p.Name)
		b, err := json.Marshal(p)
		require.NoError(t, err)
		back, err := tlb.Load(string(b), nil)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(p, back))
		named, err := tlb.Load(p.Name, nil)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(p, named))
	}
}

// TestStatsRules pins the rules of counting with figures worked out by hand.
func TestStatsRules(t *testing.T) {
	c, err := tlb.ParseSpec("2,4") // both fully associative
	require.NoError(t, err)
	c.Cost = tlb.Cost{Levels: []int{1, 10}, Step: 100, Flush: 1000}
	tl, err := tlb.New(c)
	require.NoError(t, err)
	refs := []tlb.Ref{}
	for _, p := range []vm.VirtAddr{1, 1, 2, 3, 1, 1} { // m h m m(1 leaves level 1) l2-hit h
		refs = append(refs, tlb.MakeRef(p<<12, false))
	}
	tl.Run(0, refs, 12)
	tl.Flush(vm.Flush{})
	s := tl.Stats()
	require.Equal(t, tlb.SideStats{Lookups: 6, Misses: 4}, s.Levels[0].Data)
	require.Equal(t, tlb.SideStats{Lookups: 4, Misses: 3}, s.Levels[1].Data)
	require.EqualValues(t, 6, s.Refs())
	require.EqualValues(t, 2, s.Levels[0].Hits())
	require.EqualValues(t, 4, s.Levels[0].Fills)     // three walks and the copy from level 2
	require.EqualValues(t, 2, s.Levels[0].Evictions) // for page 3, and for page 1 again
	require.EqualValues(t, 3, s.Levels[1].Fills)
	require.EqualValues(t, 3, s.Walks)
	require.EqualValues(t, 2, s.Levels[0].Flushed)
	require.EqualValues(t, 3, s.Levels[1].Flushed)
	require.EqualValues(t, 6*1+4*10+12*100+1000, c.Cost.Cycles(s))
	tl.ResetStats()
	require.Zero(t, tl.Stats().Refs())
}

// TestPrefetch: the page behind a miss comes along, once, if it is mapped.
func TestPrefetch(t *testing.T) {
	c, err := tlb.ParseSpec("8")
	require.NoError(t, err)
	c.Prefetch = tlb.NextPage
	tl, err := tlb.New(c)
	require.NoError(t, err)
	entry := func(n vm.VirtAddr) vm.Entry {
		return vm.Entry{Page: n << 12, Frame: vm.PhysAddr(n) << 12, Perm: rw, Shift: 12, Refs: 3}
	}
	tl.SetPrefetch(func(_ vm.ASID, va vm.VirtAddr, _ vm.Access) (vm.Entry, bool) {
		return entry(va >> 12), va < 10<<12
	})
	for n := range vm.VirtAddr(10) { // every second page misses
		_, hit := tl.Lookup(0, n<<12, vm.Read)
		require.Equal(t, n%2 == 1, hit, "page %d", n)
		if !hit {
			tl.Insert(entry(n), vm.Read)
		}
		_, hit = tl.Lookup(0, n<<12, vm.Read)
		require.True(t, hit)
	}
	s := tl.Stats()
	require.EqualValues(t, 5, s.Walks)
	require.EqualValues(t, 5, s.Prefetches)
	require.EqualValues(t, 5, s.PrefetchHits, "a page fetched ahead counts once, however often it is hit")
	require.EqualValues(t, 30, s.WalkRefs)
	require.NoError(t, tl.Check())
}

// TestWalkCaches: walks begin where a cache knows the way, and flushes reach it.
func TestWalkCaches(t *testing.T) {
	mem, err := vm.NewMemory(make([]byte, 4<<20), machineBase)
	require.NoError(t, err)
	sv39 := pagetable.Sv39
	pt, err := pagetable.New(mem, &sv39, &pagetable.Options{Frames: pagetable.NewPool(machineBase, 64, page)})
	require.NoError(t, err)
	require.NoError(t, pt.Map(0x200000, machineBase+0x200000, 64*page, page, rw))
	c, err := tlb.ParseSpec("1")
	require.NoError(t, err)
	c.WalkCaches = []tlb.WalkCache{{Level: 0, Shift: 21, Entries: 2}, {Level: 1, Shift: 30, Entries: 2, Ways: 1}}
	tl, err := tlb.New(c)
	require.NoError(t, err)
	m := vm.NewMMU(mem, &vm.MMUOptions{TLB: tl, WalkCache: tl})
	m.Switch(pt, 1)
	refs := func(va vm.VirtAddr) int64 {
		before := tl.Stats().WalkRefs
		_, err := m.Translate(va, vm.Read)
		require.NoError(t, err)
		return tl.Stats().WalkRefs - before
	}
	require.EqualValues(t, 3, refs(0x200000), "the first walk reads every level")
	require.EqualValues(t, 1, refs(0x201000), "the next one begins at the last table")
	tl.Flush(vm.FlushASID(2))
	require.EqualValues(t, 1, refs(0x202000), "another space's flush leaves it")
	tl.Flush(vm.FlushVA(0x203000))
	require.EqualValues(t, 3, refs(0x203000), "a flush of an address takes the steps that lead to it")
	s := tl.Stats()
	require.EqualValues(t, 4, s.CacheLookups)
	require.EqualValues(t, 2, s.CacheHits)
}

// TestShootdown: a core that is left out keeps its stale translation.
func TestShootdown(t *testing.T) {
	c, err := tlb.ParseSpec("4")
	require.NoError(t, err)
	c.Cost = tlb.Cost{Flush: 100, IPI: 1000}
	cs, err := tlb.NewCores(4, c)
	require.NoError(t, err)
	require.Equal(t, 4, cs.Len())
	e := vm.Entry{Page: 0x1000, Frame: 0x5000, ASID: 1, Perm: rw, Shift: 12}
	for i := range 3 { // core 3 never ran the space
		cs.Core(i).Insert(e, vm.Read)
	}
	require.Equal(t, 2, cs.Shootdown(0, vm.FlushVA(0x1000), []int{1, 1, 0}))
	_, hit := cs.Core(2).Lookup(1, 0x1000, vm.Read)
	require.True(t, hit, "core 2 was forgotten")
	require.Equal(t, 1, cs.Shootdown(0, vm.FlushVA(0x1000), nil))
	_, hit = cs.Core(2).Lookup(1, 0x1000, vm.Read)
	require.False(t, hit)
	require.Equal(t, tlb.ShootdownStats{Shootdowns: 2, IPIs: 4, Dropped: 3, Cycles: 2*100 + 4*1100}, cs.Stats())
	require.Contains(t, cs.String(), "4 cores")
}

// TestEvents: fills and evictions are reported with their level.
func TestEvents(t *testing.T) {
	c, err := tlb.ParseSpec("1,2")
	require.NoError(t, err)
	tl, err := tlb.New(c)
	require.NoError(t, err)
	type step struct {
		Kind  vm.EventKind
		Level int8
		Page  vm.VirtAddr
	}
	var got []step
	tl.SetEvents(func(e vm.Event) { got = append(got, step{e.Kind, e.Level, e.Entry.Page}) })
	tl.Run(0, []tlb.Ref{tlb.MakeRef(0x1000, false), tlb.MakeRef(0x2000, false)}, 12)
	tl.SetEvents(nil)
	tl.Run(0, []tlb.Ref{tlb.MakeRef(0x3000, false)}, 12)
	want := []step{
		{vm.EventFill, 2, 0x1000}, {vm.EventFill, 1, 0x1000},
		{vm.EventFill, 2, 0x2000}, {vm.EventFill, 1, 0x2000}, {vm.EventEvict, 1, 0x1000},
	}
	require.Empty(t, cmp.Diff(want, got))
}

// TestNoAllocation: neither hits nor misses allocate.
func TestNoAllocation(t *testing.T) {
	c, err := tlb.ParseSpec("split:8x2/16x4,64x4")
	require.NoError(t, err)
	tl, err := tlb.New(c)
	require.NoError(t, err)
	refs := make([]tlb.Ref, 1000)
	vas, pas := make([]vm.VirtAddr, 8), make([]vm.PhysAddr, 8)
	for i := range refs {
		refs[i] = tlb.MakeRef(vm.VirtAddr(i*i%97)<<12, i%3 == 0)
	}
	require.Zero(t, testing.AllocsPerRun(20, func() {
		tl.Run(0, refs, 12)
		tl.LookupAll(0, vas, vm.Read, ^vm.PermSet(0), pas)
		tl.Lookup(0, 0x5000, vm.Execute)
	}))
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{"64x4", "split:64x8/64x4,1536x12", "32:plru", `{"levels":[{"data":[{"entries":4,"pages":[4096]}]}]}`, "skylake"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := tlb.Load(s, func(string) ([]byte, error) { return nil, nil })
		if err != nil {
			return
		}
		entries := 0
		for _, l := range c.Levels {
			for _, a := range append(l.Data, l.Instr...) {
				entries += a.Entries
			}
		}
		if entries > 1<<12 {
			return
		}
		tl, err := tlb.New(c)
		require.NoError(t, err)
		var refs []tlb.Ref
		for i := range 200 {
			refs = append(refs, tlb.MakeRef(vm.VirtAddr(i*i%61)<<12, i%2 == 0))
		}
		tl.Run(1, refs, 12)
		require.NoError(t, tl.Check())
		require.EqualValues(t, len(refs), tl.Stats().Refs())
	})
}
