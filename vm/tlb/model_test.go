package tlb

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/vm"
)

// modelShapes are the shapes that the model test runs.
func modelShapes() map[string]Config {
	shape := func(levels ...Level) Config { return Config{Levels: levels} }
	one := func(a Array) Level { return Level{Data: []Array{a}} }
	small := []Array{{Entries: 4, Ways: 2, Pages: []uint64{16}}, {Entries: 2, Pages: []uint64{64}}}
	outer := func(i Inclusion) Level { return Level{Data: []Array{{Entries: 8, Ways: 4}}, Inclusion: i} }
	m := map[string]Config{
		"direct mapped":     shape(one(Array{Entries: 4, Ways: 1})),
		"fully associative": shape(one(Array{Entries: 5})),
		"two levels":        shape(one(Array{Entries: 4, Ways: 2}), outer(NonInclusive)),
		"inclusive":         shape(one(Array{Entries: 4}), Level{Data: []Array{{Entries: 4, Ways: 2}}, Inclusion: Inclusive}),
		"exclusive":         shape(one(Array{Entries: 4, Ways: 2}), outer(Exclusive)),
		"split by size":     shape(Level{Data: small}, Level{Data: []Array{{Entries: 8, Ways: 4, Pages: []uint64{16}}}}),
		"exclusive by size": shape(Level{Data: small}, outer(Exclusive)),
		"split by side":     shape(Level{Data: []Array{{Entries: 4, Ways: 2}}, Instr: []Array{{Entries: 2}}}, outer(NonInclusive)),
		"side, inclusive":   shape(Level{Data: []Array{{Entries: 4, Ways: 2}}, Instr: []Array{{Entries: 2}}}, outer(Inclusive)),
		"three levels":      shape(one(Array{Entries: 2}), Level{Data: []Array{{Entries: 4}}, Inclusion: Exclusive}, outer(NonInclusive)),
	}
	for _, p := range []Policy{LRU, PLRU, FIFO, LFU} {
		m["policy "+string(p)] = shape(one(Array{Entries: 8, Ways: 4, Policy: p}))
	}
	return m
}

// drawEntry draws a page of 16, 64 or 256 bytes among the first 1024.
func drawEntry(t *rapid.T) vm.Entry {
	shift := rapid.SampledFrom([]uint8{4, 4, 4, 6, 8}).Draw(t, "shift")
	va := vm.VirtAddr(rapid.IntRange(0, 1023).Draw(t, "va"))
	return vm.Entry{
		Page: va &^ (1<<shift - 1), Frame: vm.PhysAddr(rapid.IntRange(0, 7).Draw(t, "frame")) << shift,
		ASID: vm.ASID(rapid.IntRange(0, 2).Draw(t, "asid")), Perm: vm.PermR, Shift: shift, Refs: 1,
		Global: rapid.IntRange(0, 7).Draw(t, "global") == 0,
	}
}

// TestModel compares each shape with the naive implementation under random
// look-ups, insertions and flushes, and checks the laws after each step.
func TestModel(t *testing.T) {
	for name, conf := range modelShapes() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				tl, err := New(conf)
				require.NoError(t, err)
				n := newNaive(conf)
				for range rapid.IntRange(1, 150).Draw(t, "steps") {
					modelStep(t, tl, n)
				}
			})
		})
	}
}

func modelStep(t *rapid.T, tl *TLB, n *naiveTLB) {
	acc := rapid.SampledFrom([]vm.Access{vm.Read, vm.Write, vm.Execute}).Draw(t, "access")
	switch rapid.IntRange(0, 9).Draw(t, "op") {
	case 0:
		f := vm.Flush{
			VA: vm.VirtAddr(rapid.IntRange(0, 1023).Draw(t, "va")), ASID: vm.ASID(rapid.IntRange(0, 2).Draw(t, "asid")),
			OneVA: rapid.IntRange(0, 3).Draw(t, "oneva") > 0, OneASID: rapid.Bool().Draw(t, "oneasid"), Globals: rapid.Bool().Draw(t, "globals"),
		}
		require.Equal(t, n.flush(f), tl.Flush(f))
	default: // a reference, and what follows a miss
		e := drawEntry(t)
		va := e.Page + vm.VirtAddr(rapid.Uint64Range(0, e.Size()-1).Draw(t, "offset"))
		want, wantHit := n.lookup(e.ASID, va, side(acc))
		got, hit := tl.Lookup(e.ASID, va, acc)
		require.Equal(t, wantHit, hit)
		require.Equal(t, want, got)
		if !hit || rapid.IntRange(0, 9).Draw(t, "again") == 0 {
			n.insert(e, side(acc))
			tl.Insert(e, acc)
		}
	}
	require.NoError(t, tl.Check())
	entries := n.entries()
	for e := range tl.Entries() {
		require.True(t, entries[e], "%+v is not in the model", e)
		delete(entries, e)
	}
	require.Empty(t, entries)
	for k, l := range tl.Stats().Levels {
		require.Equal(t, n.counts[k], [2]SideStats{l.Data, l.Instr}, "level %d", k+1)
	}
}

// randomRefs draws references to pages of 4 KiB: mostly local ones.
func randomRefs(t *rapid.T) []Ref {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Ref {
		return MakeRef(vm.VirtAddr(rapid.IntRange(0, 40).Draw(t, "page"))<<12+8, rapid.Bool().Draw(t, "instr"))
	}), 0, 300).Draw(t, "refs")
}

// TestRunEqualsLookups compares Run with single look-ups and insertions, in all
// counters and in what is held, for every policy and shape.
func TestRunEqualsLookups(t *testing.T) {
	for _, spec := range []string{"8x2", "8", "8x4", "split:8x4/4x4", "16x4:plru", "8x4:fifo", "8x4:lfu", "8x4:random", "4x2,16x4", "split:4x2/8x2,16x4", "split:4x2/4x4:lfu,8x2"} {
		t.Run(spec, func(t *testing.T) {
			conf, err := ParseSpec(spec)
			require.NoError(t, err)
			rapid.Check(t, func(t *rapid.T) {
				batch, single := mustNew(t, conf), mustNew(t, conf)
				for range 3 {
					refs := randomRefs(t)
					asid := vm.ASID(rapid.IntRange(0, 1).Draw(t, "asid"))
					batch.Run(asid, refs, 12)
					for _, r := range refs {
						single.runOne(asid, r, 12)
					}
					require.Equal(t, single.Stats(), batch.Stats())
					require.NoError(t, batch.Check())
				}
				require.Equal(t, single.levels[0].all[0].slots, batch.levels[0].all[0].slots)
			})
		})
	}
}

// TestLookupAllEqualsLookups compares LookupAll with Lookup, also where it stops.
func TestLookupAllEqualsLookups(t *testing.T) {
	for _, spec := range []string{"8x2", "8x4:plru", "8:lfu", "8x2:fifo", "4x2,16x4", "8x2:random"} {
		conf, err := ParseSpec(spec)
		require.NoError(t, err)
		rapid.Check(t, func(t *rapid.T) {
			batch, single := mustNew(t, conf), mustNew(t, conf)
			for range 20 {
				e := drawEntry(t)
				e.Perm = vm.Perm(rapid.IntRange(1, 2).Draw(t, "perm"))
				batch.Insert(e, vm.Read)
				single.Insert(e, vm.Read)
				vas := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) vm.VirtAddr {
					return vm.VirtAddr(rapid.IntRange(0, 1023).Draw(t, "va"))
				}), 1, 40).Draw(t, "vas")
				if rapid.Bool().Draw(t, "hits") {
					for i := range vas {
						vas[i] = e.Page + vas[i]&15
					}
				}
				const allowed = vm.PermSet(1 << vm.PermR)
				pas, want := make([]vm.PhysAddr, len(vas)), 0
				n := batch.LookupAll(e.ASID, vas, vm.Read, allowed, pas)
				for ; want < len(vas); want++ {
					f, hit := single.Lookup(e.ASID, vas[want], vm.Read)
					if !hit || !allowed.Has(f.Perm) {
						break
					}
					require.Equal(t, f.Addr(vas[want]), pas[want])
				}
				require.Equal(t, want, n)
				require.Equal(t, single.Stats(), batch.Stats())
			}
		})
	}
}

func mustNew(t require.TestingT, c Config) *TLB {
	tl, err := New(c)
	require.NoError(t, err)
	return tl
}
