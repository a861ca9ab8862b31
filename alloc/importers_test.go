package alloc_test

import (
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/alloc/fit"
)

// arrowAllocator is memory.Allocator of Apache Arrow Go.
type arrowAllocator interface {
	Allocate(size int) []byte
	Reallocate(size int, b []byte) []byte
	Free(b []byte)
}

// grpcPool is mem.BufferPool of gRPC Go.
type grpcPool interface {
	Get(length int) *[]byte
	Put(*[]byte)
}

var (
	_ arrowAllocator      = (*alloc.ArrowAllocator)(nil)
	_ httputil.BufferPool = (*alloc.HTTPBufferPool)(nil)
	_ grpcPool            = (*alloc.GRPCBufferPool)(nil)
	_ expvar.Var          = alloc.StatsVar{}
	_ io.Closer           = (*alloc.MemoryLimit)(nil)
)

// newHeap is a real heap that reports leaks.
func newHeap(t testing.TB) *fit.Heap {
	t.Helper()
	h, err := fit.New(nil, &fit.Options{Limit: 16 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

func TestArrow(t *testing.T) {
	h := newHeap(t)
	var a arrowAllocator = alloc.Arrow(h)
	rng := rand.New(rand.NewPCG(1, 2))
	type buffer struct {
		b    []byte
		fill byte
	}
	var live []buffer
	for step := range 2000 {
		size := rng.IntN(2000)
		i := len(live)
		if len(live) < 20 {
			live = append(live, buffer{a.Allocate(size), 0})
		} else {
			i = rng.IntN(len(live))
			old := len(live[i].b)
			live[i].b = a.Reallocate(size, live[i].b)
			for k, c := range live[i].b {
				want := live[i].fill
				if k >= old {
					want = 0 // fresh, however dirty the block was
				}
				require.Equal(t, want, c, "step %d: byte %d of %d, was %d", step, k, size, old)
			}
		}
		live[i].fill = byte(step)
		for k := range live[i].b {
			live[i].b[k] = byte(step)
		}
		if rng.IntN(4) == 0 {
			i := rng.IntN(len(live))
			b := live[i].b
			a.Free(b[:rng.IntN(len(b)+1)]) // with another length
			live = append(live[:i], live[i+1:]...)
		}
		for _, l := range live {
			if len(l.b) > 0 {
				require.Zero(t, address(l.b)%64)
			}
		}
	}
	for _, l := range live {
		a.Free(l.b)
	}
	require.Zero(t, h.Stats().LiveBlocks)
	require.ErrorIs(t, errorOf(func() { a.Allocate(1 << 30) }), alloc.ErrNoMemory)
	require.ErrorIs(t, errorOf(func() { a.Allocate(-1) }), alloc.ErrSize)
	b := a.Allocate(10)
	require.ErrorIs(t, errorOf(func() { a.Reallocate(1<<30, b) }), alloc.ErrNoMemory)
	a.Free(b)
	require.ErrorIs(t, errorOf(func() { a.Free(b) }), alloc.ErrDoubleFree)
	a.Free(nil)
}

// errorOf is the error that f panics with.
func errorOf(f func()) (err error) {
	defer func() { err, _ = recover().(error) }()
	f()
	return nil
}

// A reverse proxy copies through the pool.
func TestHTTPBuffers(t *testing.T) {
	h := newHeap(t)
	p := alloc.HTTPBuffers(h, 1024, 2)
	body := strings.Repeat("off the heap ", 10000)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }))
	defer back.Close()
	target, err := url.Parse(back.URL)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.BufferPool = p
	front := httptest.NewServer(proxy)
	defer front.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			res, err := http.Get(front.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if got, err := io.ReadAll(res.Body); err != nil || string(got) != body {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	front.Close()
	s := p.Stats()
	require.EqualValues(t, 8, s.Gets)
	require.Zero(t, s.Out)
	require.Zero(t, s.Fallbacks)
	require.LessOrEqual(t, h.Stats().LiveBlocks, 2, "idle buffers")
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.Zero(t, h.Stats().LiveBlocks)
}

func TestHTTPBuffersMisuse(t *testing.T) {
	h := newHeap(t)
	p := alloc.HTTPBuffers(h, 0, 1)
	a, b := p.Get(), p.Get()
	require.Len(t, a, 32<<10)
	p.Put(a)
	p.Put(a)
	p.Put(make([]byte, 10))
	require.EqualValues(t, 2, p.Stats().Ignored)
	p.Put(b[:5]) // one too many to keep idle
	require.Equal(t, 1, h.Stats().LiveBlocks)
	a = p.Get()
	require.Len(t, a, 32<<10)
	p.Put(a[:5:5]) // its end is lost to the caller, not to the heap
	require.Zero(t, h.Stats().LiveBlocks)
	a = p.Get()
	require.ErrorIs(t, p.Close(), alloc.ErrLeak)
	p.Put(a)
	require.Zero(t, h.Stats().LiveBlocks)
	poor := alloc.HTTPBuffers(alloctest.Reference(100), 200, 1)
	g := poor.Get()
	require.Len(t, g, 200)
	poor.Put(g)
	require.Equal(t, alloc.PoolStats{Gets: 1, Fallbacks: 1, Ignored: 1}, poor.Stats())
}

func TestGRPCBuffers(t *testing.T) {
	h := newHeap(t)
	p := alloc.GRPCBuffers(h)
	a, b := p.Get(100), p.Get(0)
	require.Len(t, *a, 100)
	require.Len(t, *b, 0)
	again := *a
	*a = (*a)[:10]
	p.Put(a)
	require.Nil(t, *a)
	p.Put(&again)
	p.Put(nil)
	require.Equal(t, alloc.PoolStats{Gets: 2, Out: 1, Ignored: 1}, p.Stats())
	require.ErrorIs(t, p.Close(), alloc.ErrLeak)
	p.Put(b)
	require.Zero(t, h.Stats().LiveBlocks)
	poor := alloc.GRPCBuffers(alloctest.Reference(10))
	require.Len(t, *poor.Get(20), 20)
	require.EqualValues(t, 1, poor.Stats().Fallbacks)
}

func TestVar(t *testing.T) {
	h := newHeap(t)
	b, err := h.Malloc(100)
	require.NoError(t, err)
	var got map[string]float64
	require.NoError(t, json.Unmarshal([]byte(alloc.Var(h).String()), &got))
	require.EqualValues(t, 1, got["live_blocks"])
	require.EqualValues(t, 100, got["requested"])
	require.Contains(t, got, "internal_fragmentation")
	require.InDelta(t, h.Stats().InternalFragmentation(), got["internal_fragmentation"], 1e-9)
	h.Free(b)
}

func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	h := newHeap(t)
	const budget = 256 << 20
	m := alloc.NewMemoryLimit(budget, h)
	require.Equal(t, before, debug.SetMemoryLimit(-1), "nothing happens before Update")
	want := int64(budget - h.Stats().Committed)
	require.Equal(t, want, m.Update())
	require.Equal(t, want, debug.SetMemoryLimit(-1))
	b, err := h.Malloc(8 << 20)
	require.NoError(t, err)
	require.LessOrEqual(t, m.Update(), int64(budget-8<<20))
	h.Free(b)
	require.Equal(t, want, m.Update())
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())
	require.Equal(t, before, debug.SetMemoryLimit(-1))
	tight := alloc.NewMemoryLimit(1<<20, alloctest.Reference(0), h, h, h, h, h, h, h, h, h, h, h, h, h, h, h, h, h)
	defer tight.Close()
	require.EqualValues(t, 1<<17, tight.Update(), "an eighth is the Go heap's")
}

func ExampleVar() {
	heap := alloctest.Reference(0)
	heap.Malloc(100)
	fmt.Println(strings.Contains(alloc.Var(heap).String(), `"live":100`))
	// Output: true
}

func ExampleArrow() {
	heap := alloctest.Reference(0)
	mem := alloc.Arrow(heap) // pass it where Arrow wants a memory.Allocator
	b := mem.Allocate(100)
	mem.Free(b[:10])
	err := alloc.Try(func() { mem.Free(b) })
	fmt.Println(len(b), errors.Is(err, alloc.ErrDoubleFree))
	// Output: 100 true
}

func ExampleHTTPBuffers() {
	pool := alloc.HTTPBuffers(alloctest.Reference(0), 32<<10, 0)
	proxy := &httputil.ReverseProxy{BufferPool: pool}
	b := proxy.BufferPool.Get()
	proxy.BufferPool.Put(b)
	fmt.Println(len(b), pool.Stats().Out, pool.Close())
	// Output: 32768 0 <nil>
}

func ExampleGRPCBuffers() {
	pool := alloc.GRPCBuffers(alloctest.Reference(0)) // pass it where gRPC wants a mem.BufferPool
	b := pool.Get(100)
	fmt.Println(len(*b), pool.Stats().Out)
	pool.Put(b)
	fmt.Println(*b == nil, pool.Stats().Out, pool.Close())
	// Output:
	// 100 1
	// true 0 <nil>
}

func ExampleMemoryLimit() {
	heap := alloctest.Reference(0)
	if _, err := heap.Malloc(16 << 20); err != nil {
		fmt.Println(err)
	}
	limit := alloc.NewMemoryLimit(256<<20, heap)
	defer limit.Close()
	fmt.Println(limit.Update()>>20, "MiB are left for the Go heap")
	// Output: 240 MiB are left for the Go heap
}
