package fit

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// TestModel lets rapid choose options and operations and holds the heap to the
// oracle, with Check after every operation.
func TestModel(t *testing.T) {
	r := region(t, 256<<10, arena.GoHeap)
	rapid.Check(t, func(rt *rapid.T) {
		o := &Options{
			Policy:   Policy(rapid.IntRange(0, 3).Draw(rt, "policy")),
			Coalesce: Coalesce(rapid.IntRange(0, 2).Draw(rt, "coalesce")),
			Implicit: rapid.Bool().Draw(rt, "implicit"),
			Header:   8 * rapid.IntRange(0, 5).Draw(rt, "header"),
			Align:    1 << rapid.IntRange(4, 8).Draw(rt, "align"),
			Limit:    rapid.IntRange(8<<10, 256<<10).Draw(rt, "limit"),
			Grow:     rapid.IntRange(0, 20000).Draw(rt, "grow"),
			Zero:     rapid.Bool().Draw(rt, "zero"),
		}
		if !o.Implicit {
			o.Order = Order(rapid.IntRange(0, 4).Draw(rt, "order"))
		}
		var h fullHeap
		var err error
		switch rapid.SampledFrom([]string{"list", "list", "tlsf", "buddy"}).Draw(rt, "kind") {
		case "tlsf":
			h, err = NewTLSF(r, &Options{Header: o.Header, Align: o.Align, Limit: o.Limit, Grow: o.Grow, Zero: o.Zero})
		case "buddy":
			h, err = NewBuddy(r, &Options{Align: o.Align, Limit: o.Limit, Grow: o.Grow, Zero: o.Zero})
		default:
			h, err = New(r, o)
		}
		require.NoError(rt, err)
		oracle := alloctest.NewOracle(h)
		for _, op := range rapid.SliceOfN(drawOp(), 1, 60).Draw(rt, "ops") {
			err := oracle.Do(op)
			if err != nil && !errors.Is(err, alloc.ErrNoMemory) && !errors.Is(err, alloc.ErrAlign) {
				rt.Fatalf("%v: %v", op, err)
			}
			require.NoError(rt, oracle.Verify(), "after %v", op)
		}
		require.NoError(rt, oracle.FreeAll())
		require.NoError(rt, h.Close())
	})
}

// drawOp draws one operation, with sizes near the boundaries of blocks.
func drawOp() *rapid.Generator[alloctest.Op] {
	return rapid.Custom(func(t *rapid.T) alloctest.Op {
		op := alloctest.Op{
			Kind: alloctest.OpKind(rapid.IntRange(int(alloctest.OpMalloc), int(alloctest.OpFree)).Draw(t, "kind")),
			ID:   rapid.IntRange(0, 12).Draw(t, "id"),
		}
		switch rapid.IntRange(0, 2).Draw(t, "range") {
		case 0:
			op.Size = max(0, 16*rapid.IntRange(0, 20).Draw(t, "granules")+rapid.IntRange(-1, 1).Draw(t, "off"))
		case 1:
			op.Size = rapid.IntRange(0, 300).Draw(t, "size")
		default:
			op.Size = rapid.IntRange(0, 20000).Draw(t, "large")
		}
		switch op.Kind {
		case alloctest.OpCalloc:
			op.Count = rapid.IntRange(0, 3).Draw(t, "count")
		case alloctest.OpMalloc, alloctest.OpRealloc:
			if rapid.IntRange(0, 5).Draw(t, "aligned") == 0 {
				op.Align = 1 << rapid.IntRange(0, 9).Draw(t, "align")
			}
		}
		return op
	})
}

// TestDifferential runs one list of operations on every kind of heap.
func TestDifferential(t *testing.T) {
	kinds := map[string]func(testing.TB) alloc.Allocator{}
	for name, mk := range heaps() {
		kinds[name] = func(t testing.TB) alloc.Allocator { return mk(t, 8<<20) }
	}
	for seed := range uint64(3) {
		alloctest.Differential(t, alloctest.RandomOps(100+seed, alloctest.Mix{Ops: 1500}), kinds)
	}
}

// The k-th allocation of a workload on the heap fails: nothing leaks.
func TestFailingAllocation(t *testing.T) {
	for n := 1; ; n++ {
		h, err := New(region(t, 64<<10, arena.GoHeap), nil)
		require.NoError(t, err)
		f := alloctest.Failing(h, n)
		require.NoError(t, alloctest.Run(f, alloctest.RandomOps(5, alloctest.Mix{Ops: 60, MaxSize: 100}), 1))
		require.NoError(t, h.Check())
		require.Zero(t, h.Stats().LiveBlocks)
		if !f.Failed() {
			break
		}
	}
}

// What the sink is told is enough to follow the heap: replaying the events
// yields the live blocks.
func TestEventsTellTheWholeStory(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			live := map[arena.Offset]alloc.Event{}
			accesses := 0
			sink := func(e alloc.Event) {
				switch e.Kind {
				case alloc.EventMalloc, alloc.EventCalloc:
					require.NotContains(t, live, e.Off)
					live[e.Off] = e
				case alloc.EventRealloc:
					require.Contains(t, live, e.Old)
					delete(live, e.Old)
					live[e.Off] = e
				case alloc.EventFree:
					require.Contains(t, live, e.Off)
					require.Equal(t, live[e.Off].Usable, e.Usable)
					delete(live, e.Off)
				case alloc.EventRead, alloc.EventWrite:
					accesses++
					require.Positive(t, e.Size)
				}
			}
			h, err := open(region(t, 1<<20, arena.GoHeap), &Options{Sink: sink, Accesses: true})
			require.NoError(t, err)
			o := alloctest.NewOracle(h)
			for _, op := range alloctest.RandomOps(9, alloctest.Mix{Ops: 400, Unaligned: true}) {
				require.NoError(t, o.Do(op))
				require.Len(t, live, o.Live())
				require.Equal(t, h.Stats().LiveBlocks, len(live))
			}
			requested, usable := 0, 0
			for _, e := range live {
				requested += e.Size
				usable += e.Usable
			}
			require.Equal(t, h.Stats().Requested, requested)
			require.Equal(t, h.Stats().Live, usable)
			require.Greater(t, accesses, 1000)
		})
	}
}

func FuzzHeap(f *testing.F) {
	f.Add(byte(0), []byte("\x00\x01\x20\x00\x04\x01\x40\xc0\x07\x01\x00\x00"))
	f.Add(byte(77), []byte("\x00\x01\xff\xe0\x00\x02\xff\xe0\x07\x01\x00\x00\x05\x02\xff\xff"))
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		h := fuzzHeap(t, kind)
		if err := alloctest.Run(h, alloctest.DecodeOps(data), 1); err != nil && !errors.Is(err, alloc.ErrAlign) {
			t.Fatal(err)
		}
	})
}

// FuzzAttack has the fuzzer flip bits of the heap between operations.
func FuzzAttack(f *testing.F) {
	f.Add(byte(0), uint64(1))
	f.Add(byte(6), uint64(9))
	f.Fuzz(func(t *testing.T, kind byte, seed uint64) {
		alloctest.Attack(t, func() (alloc.Allocator, []byte) {
			h := fuzzHeap(t, kind)
			return h, h.Region().Bytes()
		}, seed, 300)
	})
}

// fuzzHeap is a small heap of the kind.
func fuzzHeap(t testing.TB, kind byte) fullHeap {
	t.Helper()
	r := arena.FromBytes(make([]byte, 32<<10))
	var h fullHeap
	var err error
	switch kind % 8 {
	case 6:
		h, err = NewTLSF(r, &Options{Seed: 1})
	case 7:
		h, err = NewBuddy(r, &Options{Seed: 1})
	default:
		o := &Options{Seed: 1, Policy: Policy(kind / 8 % 4), Order: Order(kind / 32 % 5), Coalesce: Coalesce(kind % 3)}
		if o.Implicit = kind%8 >= 3; o.Implicit {
			o.Order = Address
		}
		h, err = New(r, o)
	}
	require.NoError(t, err)
	return h
}
