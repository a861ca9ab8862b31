package fit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// A maker makes a fresh heap in a region of size bytes, which the test closes.
type maker func(t testing.TB, size int) alloc.Allocator

// region reserves size bytes and registers their release.
func region(t testing.TB, size int, b arena.Backing) *arena.Region {
	t.Helper()
	r, err := arena.Reserve(size, &arena.Options{Backing: b})
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// withOptions makes free-list heaps.
func withOptions(o Options, b arena.Backing) maker {
	return func(t testing.TB, size int) alloc.Allocator {
		t.Helper()
		h, err := New(region(t, size, b), &o)
		require.NoError(t, err)
		return h
	}
}

// heaps is a heap of every kind: all policies, orders and kinds of coalescing,
// and the combinations that share state. TestModel combines them all.
func heaps() map[string]maker {
	m := map[string]maker{}
	for p := First; p <= Worst; p++ {
		m["policy="+p.String()] = withOptions(Options{Policy: p}, arena.GoHeap)
		m["coalesce=deferred,policy="+p.String()] = withOptions(Options{Policy: p, Coalesce: Deferred}, arena.Mmap)
		o := Order(p) + Back // each policy with one order, and next fit with all
		m[fmt.Sprintf("policy=%v,order=%v", p, o)] = withOptions(Options{Policy: p, Order: o}, arena.Mmap)
		m[fmt.Sprintf("policy=next,order=%v", o)] = withOptions(Options{Policy: Next, Order: o}, arena.Mmap)
	}
	m["implicit"] = withOptions(Options{Implicit: true}, arena.Mmap)
	m["implicit,policy=next"] = withOptions(Options{Policy: Next, Implicit: true}, arena.Mmap)
	m["coalesce=never,policy=best,order=address"] = withOptions(Options{Policy: Best, Order: Address, Coalesce: Never}, arena.Mmap)
	m["coalesce=never,policy=next"] = withOptions(Options{Policy: Next, Coalesce: Never}, arena.Mmap)
	m["header=16,align=32"] = withOptions(Options{Header: 16, Align: 32}, arena.Mmap)
	m["header=40,align=64"] = withOptions(Options{Header: 40, Align: 64}, arena.GoHeap)
	m["header=256,align=256,order=address"] = withOptions(Options{Header: 256, Align: 256, Order: Address}, arena.Mmap)
	m["zero"] = withOptions(Options{Zero: true}, arena.Mmap)
	m["grow=4096"] = withOptions(Options{Grow: 4096, Policy: Best}, arena.Mmap)
	m["buddy"] = func(t testing.TB, size int) alloc.Allocator {
		h, err := NewBuddy(region(t, size, arena.Mmap), nil)
		require.NoError(t, err)
		return h
	}
	m["tlsf"] = func(t testing.TB, size int) alloc.Allocator {
		h, err := NewTLSF(region(t, size, arena.Mmap), nil)
		require.NoError(t, err)
		return h
	}
	return m
}

// each runs f for every kind of heap.
func each(t *testing.T, f func(t *testing.T, name string, newHeap func(testing.TB) alloc.Allocator)) {
	for name, mk := range heaps() {
		t.Run(name, func(t *testing.T) {
			f(t, name, func(t testing.TB) alloc.Allocator { return mk(t, 3<<20) })
		})
	}
}

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, name string, newHeap func(testing.TB) alloc.Allocator) {
		claims := []alloctest.Claim{alloctest.Detects, alloctest.Bounded, alloctest.KeepsRequested}
		if strings.Contains(name, "never") {
			claims = append(claims, alloctest.Fragments)
		} else {
			claims = append(claims, alloctest.Restores)
		}
		alloctest.Test(t, newHeap, claims...)
	})
}

func TestRandom(t *testing.T) {
	each(t, func(t *testing.T, name string, newHeap func(testing.TB) alloc.Allocator) {
		alloctest.Random(t, newHeap, alloctest.Mix{Seeds: 2, Ops: 800})
	})
}
