package alloc

import (
	"fmt"
	"sync"
)

// An HTTPBufferPool is a pool of equal buffers off the Go heap. It satisfies
// httputil.BufferPool of net/http/httputil, so that a reverse proxy copies
// through memory that the collector never sees. Make one with [HTTPBuffers]. It
// is safe for concurrent use.
type HTTPBufferPool struct {
	p       pool
	size    int
	maxIdle int
	idle    [][]byte
}

// HTTPBuffers returns a pool of buffers of size bytes, 32 KiB if size is 0,
// which come from a. Up to maxIdle buffers that were put back wait to be used
// again, 64 if maxIdle is 0. The pool has a lock of its own; a must be safe for
// concurrent use if anything else uses it too.
func HTTPBuffers(a Allocator, size, maxIdle int) *HTTPBufferPool {
	if size == 0 {
		size = 32 << 10
	}
	if maxIdle == 0 {
		maxIdle = 64
	}
	return &HTTPBufferPool{p: pool{a: a, out: map[uintptr]bool{}}, size: size, maxIdle: maxIdle}
}

// Get returns a buffer with unspecified contents. When a has no memory it comes
// from the Go heap instead, since the interface has no error; [PoolStats] counts
// that.
func (h *HTTPBufferPool) Get() []byte {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if n := len(h.idle); n > 0 {
		b := h.idle[n-1]
		h.idle = h.idle[:n-1]
		h.p.lend(b)
		return b
	}
	return h.p.get(h.size)
}

// Put takes a buffer back, also one that was sliced to another length or
// capacity. What did not come from Get, or was put back already, is ignored: it
// is not the pool's to free.
func (h *HTTPBufferPool) Put(b []byte) {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if !h.p.takeBack(b) {
		return
	}
	if len(h.idle) < h.maxIdle && cap(b) >= h.size && !h.p.closed {
		h.idle = append(h.idle, b[:h.size])
		return
	}
	h.p.a.Free(b)
}

// Stats returns what the pool has counted.
func (h *HTTPBufferPool) Stats() PoolStats { return h.p.read() }

// Close frees the idle buffers. Buffers that are out are freed when they are put
// back; an error that wraps [ErrLeak] says how many there are.
func (h *HTTPBufferPool) Close() error {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	for _, b := range h.idle {
		h.p.a.Free(b)
	}
	h.idle = nil
	return h.p.close()
}

// A GRPCBufferPool hands out buffers of any length off the Go heap. It satisfies
// mem.BufferPool of google.golang.org/grpc/mem. Make one with [GRPCBuffers]. It
// is safe for concurrent use.
type GRPCBufferPool struct {
	p pool
}

// GRPCBuffers returns a pool whose buffers come from a, which does the pooling.
// The pool has a lock of its own; a must be safe for concurrent use if anything
// else uses it too.
func GRPCBuffers(a Allocator) *GRPCBufferPool {
	return &GRPCBufferPool{pool{a: a, out: map[uintptr]bool{}}}
}

// Get returns a buffer of length bytes with unspecified contents. When the
// allocator has no memory it comes from the Go heap instead, since the interface
// has no error; [PoolStats] counts that.
func (g *GRPCBufferPool) Get(length int) *[]byte {
	g.p.mu.Lock()
	defer g.p.mu.Unlock()
	b := g.p.get(length)
	return &b
}

// Put takes a buffer back; it may have been sliced to another length. What did
// not come from Get, or was put back already, is ignored.
func (g *GRPCBufferPool) Put(b *[]byte) {
	if b == nil {
		return
	}
	g.p.mu.Lock()
	defer g.p.mu.Unlock()
	if g.p.takeBack(*b) {
		g.p.a.Free(*b)
		*b = nil // dead: using it now is a nil access, not someone else's memory
	}
}

// Stats returns what the pool has counted.
func (g *GRPCBufferPool) Stats() PoolStats { return g.p.read() }

// Close ends the pool: an error that wraps [ErrLeak] says how many buffers are
// out. They are freed when they are put back.
func (g *GRPCBufferPool) Close() error {
	g.p.mu.Lock()
	defer g.p.mu.Unlock()
	return g.p.close()
}

// PoolStats is what a pool has counted since its start.
type PoolStats struct {
	Gets      uint64 `json:"gets"`      // buffers handed out
	Out       int    `json:"out"`       // of these, not put back yet
	Fallbacks uint64 `json:"fallbacks"` // buffers from the Go heap, for want of memory
	Ignored   uint64 `json:"ignored"`   // buffers put back that were not out: the Go heap's, strangers, repeats
}

// A pool remembers which blocks of an allocator are out, so that a buffer of
// somebody else's, or one put back twice, does no harm.
type pool struct {
	mu     sync.Mutex
	a      Allocator
	out    map[uintptr]bool // addresses of the blocks that are out
	stats  PoolStats
	closed bool
}

// get returns a fresh block, or Go memory if there is none.
func (p *pool) get(size int) []byte {
	b, err := p.a.Malloc(size)
	if err != nil {
		p.stats.Gets++
		p.stats.Fallbacks++
		return make([]byte, size)
	}
	p.lend(b)
	return b
}

// lend notes that block b is out.
func (p *pool) lend(b []byte) {
	p.out[addr(b)] = true
	p.stats.Gets++
}

// takeBack reports whether b was out, and notes that it is not any more.
func (p *pool) takeBack(b []byte) bool {
	if !p.out[addr(b)] {
		p.stats.Ignored++
		return false
	}
	delete(p.out, addr(b))
	return true
}

func (p *pool) read() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Out = len(p.out)
	return s
}

func (p *pool) close() error {
	first := !p.closed
	p.closed = true
	if n := len(p.out); n > 0 && first {
		return fmt.Errorf("alloc: close: %w: %d buffers of the pool are out", ErrLeak, n)
	}
	return nil
}
