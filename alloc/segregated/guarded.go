package segregated

import (
	"fmt"
	"math/rand/v2"
	"runtime"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// GuardOptions says which blocks a heap in mode Guarded puts on pages of their
// own. Zero fields mean the defaults.
type GuardOptions struct {
	// Every is how many blocks there are to one that is guarded, on average;
	// which ones is random, by Options.Seed. 0 and 1 mean every block.
	Every int

	// Front places blocks at the start of their pages, so that the byte
	// before a block faults; the default is at the end, so that the byte after
	// it does (after it and what its alignment asks for).
	Front bool

	// Mappings is how many entries of the system's map table the heap's region
	// may have. The table is the whole process's, and the Go runtime dies when
	// it is full. 0 means a quarter of the system's limit, vm.max_map_count,
	// read by New. A live guarded block takes two or three entries.
	Mappings int
}

// A guarded block is a span of whole pages, the first and last of which cannot
// be touched:
//
//	core                    page                                       page      end
//	├───────────────────────┼──────────────────────────┬───────────────┼─────────┤
//	│ no access             │ canary                   │ block         │ no      │
//	└───────────────────────┴──────────────────────────┴───────────────┴─────────┘
//	                        └────── the pages of the block ────────────┘
//
// A block of no bytes has no pages, and begins at the second guard. When a
// block is freed its pages go back to the system and cannot be touched either.
// The core counts the span as live then, so that its addresses are not used
// again: not until memory runs out, or guardKept more have been freed.
type guards struct {
	c        *checked
	every    int
	front    bool
	able     bool // the region can be protected
	mappings int
	rng      *rand.Rand

	live   map[uint64]guarded // by first page
	pages  map[uint64]uint64  // by page/64: bit set: the page is part of a guarded span, live or freed
	freed  []uint64           // first pages of freed spans, oldest first
	head   int                // of freed
	recent map[uint64]freedGuard
	ring   [recentGuards]uint64 // keys of recent, the oldest at next
	next   int

	total, fallbacks, reused uint64
	hidden                   uint64 // bytes of guarded spans that are not committed
	stuck                    uint64 // bytes of freed and failed ones that are, since the system would not take them
}

// guarded is a live guarded block.
type guarded struct {
	user, size uint64 // bytes
	n          uint64 // pages of the span
	stack      uint32
}

// freedGuard is what is remembered of a guarded block that was freed.
type freedGuard struct {
	guarded
	freeStack uint32
}

const (
	guardKept    = 1 << 20 // freed guarded spans whose addresses are kept from reuse
	recentGuards = 4096    // of those, how many are known with size and stacks
)

// newGuards returns the guards of a heap. A region that cannot be protected, or
// whose blocks another process is to find, gets none: its blocks have canaries.
func newGuards(c *checked, o Options) *guards {
	g := &guards{
		c: c, every: max(1, o.Guard.Every), front: o.Guard.Front, mappings: o.Guard.Mappings,
		rng: newRand(o.Seed, 0x6775617264), live: map[uint64]guarded{}, pages: map[uint64]uint64{}, recent: map[uint64]freedGuard{},
	}
	if g.mappings == 0 {
		g.mappings = maxMappings() / 4
	}
	b := c.h.region.Backing()
	g.able = b == arena.Mmap || b == arena.Sparse
	return g
}

// covers reports whether the page of off belongs to a guarded span.
func (g *guards) covers(off uint64) bool {
	if g == nil {
		return false
	}
	p := off / g.c.h.pageSize
	return g.pages[p/64]>>(p%64)&1 != 0
}

// mark says of n pages from p on whether they belong to a guarded span.
func (g *guards) mark(p, n uint64, in bool) {
	for i := p; i < p+n; i++ {
		if in {
			g.pages[i/64] |= 1 << (i % 64)
		} else if g.pages[i/64] &^= 1 << (i % 64); g.pages[i/64] == 0 {
			delete(g.pages, i/64)
		}
	}
}

// malloc returns a guarded block if it is this one's turn and the budget and the
// system allow it, else nil.
func (g *guards) malloc(op string, size, align int, zero bool) ([]byte, error) {
	if g == nil || g.every > 1 && g.rng.IntN(g.every) != 0 {
		return nil, nil
	}
	h := g.c.h
	if !g.able || h.region.Stats().Mappings+4 > g.mappings {
		g.fallbacks++
		return nil, nil
	}
	b, err := g.place(op, uint64(size), uint64(align))
	if b == nil {
		g.fallbacks++
		return nil, err
	}
	if zero {
		clear(b)
	} else {
		user := uint64(addrOf(b) - addrOf(h.mem))
		g.c.fill(user, user+uint64(size), freshByte)
	}
	g.total++
	g.c.mallocs++
	g.c.requested += size
	return b, nil
}

// place takes a span, closes its first and last page, and returns the block
// between them; nil if it cannot, and then nothing is left of it.
func (g *guards) place(op string, size, align uint64) ([]byte, error) {
	h := g.c.h
	page := h.pageSize
	natural := uint64(granule)
	if size < granule {
		natural = granule / 2
	}
	align = max(align, natural)
	room := roundUp(size, min(align, page)) // from the block's start to the guard
	n := roundUp(room, page)/page + 2
	a := grid{align: h.pageGranules}
	if align > page {
		a.align = align >> granuleShift
		a.bias = (h.baseGranule() + h.pageGranules) & (a.align - 1)
		if a.up(h.first) >= h.endGranule() {
			return nil, nil
		}
	}
	core := h.takeCore(n*page, a)
	if core == 0 && h.err == nil && g.giveUp() {
		core = h.takeCore(n*page, a)
	}
	if core == 0 {
		return nil, nil
	}
	end := core + (n-1)*page
	if at, dirty := g.c.dirtyByte(core+page, end, false); dirty {
		return nil, g.c.condemn(op, core, at)
	}
	hidden := g.hidden
	if !g.shut(core, core+page) || !g.shut(end, end+page) {
		if !g.release(core/page, n) {
			g.stuck += n*page - (g.hidden - hidden)
		}
		return nil, nil
	}
	user := end - room
	if g.front || align > page {
		user = core + page
	}
	r := guarded{user: user, size: size, n: n, stack: h.trace.sample(int(size))}
	g.c.writeCanary(core, h.mem[core+page:user])
	g.c.writeCanary(core, h.mem[user+size:max(end, user+size)])
	g.live[core/page] = r
	g.mark(core/page, n, true)
	return h.block(user, int(size)), nil
}

// shut gives the pages of [lo, hi) back and makes them inaccessible.
func (g *guards) shut(lo, hi uint64) bool {
	h := g.c.h
	if lo == hi {
		return true
	}
	if h.region.Decommit(arena.Offset(lo), int(hi-lo)) != nil {
		return false
	}
	h.committed -= min(h.committed, hi-lo)
	g.hidden += hi - lo
	if h.sink != nil {
		h.emitPages(lo, hi, false)
	}
	return decommitCloses || h.region.Protect(arena.Offset(lo), int(hi-lo), arena.ProtNone) == nil
}

// decommitCloses says that pages that were given back cannot be touched anyhow.
const decommitCloses = runtime.GOOS == "windows"

// release opens the n pages of a span from page p on, gives them to the core
// and reports whether it could. If not, the core goes on counting them as live,
// and they are kept with those of the freed blocks.
func (g *guards) release(p, n uint64) bool {
	h := g.c.h
	lo, hi := p*h.pageSize, (p+n)*h.pageSize
	before := uint64(h.region.Stats().Committed)
	if h.limit != 0 && hi-lo > h.limit-min(h.limit, h.committed) ||
		h.region.Commit(arena.Offset(lo), int(hi-lo)) != nil {
		g.mark(p, n, true)
		g.freed = append(g.freed, p)
		return false
	}
	fresh := uint64(h.region.Stats().Committed) - before
	h.committed += fresh
	g.hidden -= min(g.hidden, fresh)
	g.stuck -= min(g.stuck, hi-lo-fresh)
	g.mark(p, n, false)
	if h.sink != nil {
		h.emitPages(lo, hi, true)
	}
	h.release(lo)
	return true
}

// find returns the live guarded block that starts at b's base, or panics.
func (g *guards) find(op string, b []byte, off uint64) target {
	h := g.c.h
	p := off/h.pageSize - 1
	if r, ok := g.live[p]; ok && r.user == off {
		return target{core: off - recordSize, record: record{size: r.size, stack: r.stack}, guarded: true}
	}
	f := g.c.fault(op, b, alloc.ErrInvalidFree)
	if old, ok := g.recent[p]; ok && old.user == off {
		f.Err = alloc.ErrDoubleFree
		f.Block = &alloc.Block{Off: offset(off), Size: int(old.size)}
		f.AllocStack, f.FreeStack = g.c.stackOf(old.stack), g.c.stackOf(old.freeStack)
	} else if r, ok := g.around(off); ok {
		f.Block = &alloc.Block{Off: offset(r.user), Size: int(r.size), Used: true}
		f.AllocStack = g.c.stackOf(r.stack)
	} else if off%granule == 0 {
		f.Err = alloc.ErrDoubleFree
	}
	panic(f)
}

// around returns the live guarded block whose span covers off.
func (g *guards) around(off uint64) (guarded, bool) {
	blk, ok := g.c.h.containing(off)
	if !ok {
		return guarded{}, false
	}
	r, ok := g.live[uint64(blk.Off)/g.c.h.pageSize]
	return r, ok
}

// ready panics if the canaries around the guarded block t are broken.
func (g *guards) ready(op string, t target) {
	if f := g.broken(op, t.user()/g.c.h.pageSize-1); f != nil {
		panic(f)
	}
}

// broken looks at the canaries of the live guarded block whose span begins at
// page p.
func (g *guards) broken(op string, p uint64) *alloc.Fault {
	h := g.c.h
	r := g.live[p]
	core := p * h.pageSize
	end := core + (r.n-1)*h.pageSize
	fault := func(b []byte, first, last, n int, at int, err error, where string) *alloc.Fault {
		f := g.c.blockFault(op, r.user-recordSize, record{size: r.size, stack: r.stack}, err)
		f.At = at
		f.Detail = fmt.Sprintf("%v: byte %d %s is %#02x, %s", err, max(at-int(r.size), -at), where, b[first], changed(n, first, last))
		return f
	}
	before, after := h.mem[core+h.pageSize:r.user], h.mem[r.user+r.size:max(end, r.user+r.size)]
	if n, first, last := g.c.brokenCanary(core, after); n > 0 {
		return fault(after, first, last, n, int(r.size)+first, alloc.ErrOverflow, "past the end")
	}
	if n, first, last := g.c.brokenCanary(core, before); n > 0 {
		return fault(before, first, last, n, last-len(before), alloc.ErrUnderflow, "before the start")
	}
	return nil
}

// drop closes the pages of the guarded block t, which is ready for it.
func (g *guards) drop(t target) {
	h := g.c.h
	p := t.user()/h.pageSize - 1
	r := g.live[p]
	delete(g.live, p)
	g.remember(p, freedGuard{r, h.trace.trace(r.stack != 0)})
	lo, hi := (p+1)*h.pageSize, (p+r.n-1)*h.pageSize
	if before := g.hidden; !g.shut(lo, hi) && g.hidden == before {
		set(h.mem[lo:hi], g.c.poison)
		g.stuck += hi - lo
	}
	g.freed = append(g.freed, p)
	if len(g.freed)-g.head > guardKept {
		g.giveUpOne()
	}
}

// remember keeps what is known of a freed block, in place of the oldest.
func (g *guards) remember(p uint64, f freedGuard) {
	delete(g.recent, g.ring[g.next])
	g.recent[p] = f
	g.ring[g.next] = p
	g.next = (g.next + 1) % recentGuards
}

// giveUp lets the core have the addresses of freed guarded blocks, the oldest
// eighth of them, and reports whether it got any. Their pages are committed again:
// those of more would be much at once.
func (g *guards) giveUp() bool {
	if g == nil {
		return false
	}
	given := false
	for range (len(g.freed) - g.head + 7) / 8 {
		if !g.giveUpOne() {
			break
		}
		given = true
	}
	return given
}

// giveUpOne lets the core have the span that was freed first.
func (g *guards) giveUpOne() bool {
	h := g.c.h
	p := g.freed[g.head]
	if g.head++; g.head > 64 && g.head > len(g.freed)/2 {
		g.freed = g.freed[:copy(g.freed, g.freed[g.head:])]
		g.head = 0
	}
	n := h.spanSize(p*h.pageGranules) / h.pageGranules
	if n == 0 {
		return h.fail("the guarded span at %#x has no end", p*h.pageSize)
	}
	if !g.release(p, n) {
		return false
	}
	delete(g.recent, p)
	g.reused++
	return true
}

// report adds the figures of the guards to r.
func (g *guards) report(r *ModeReport) {
	r.GuardedLive, r.GuardedTotal, r.GuardFallbacks = len(g.live), g.total, g.fallbacks
	r.GuardReused, r.GuardMappings = g.reused, g.mappings
}
