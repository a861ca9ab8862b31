package trace

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// An AllocPattern generates traces that press on one weakness of an allocator. The
// same seed and length give the same trace, everywhere and for ever.
type AllocPattern struct {
	Name  string
	About string // what it does and whom it hurts
	emit  func(*builder)
}

// AllocPatterns lists the generators: those after the classic traces of malloc-lab
// (Bryant and O'Hallaron), and the two classic multi-threaded programs as one
// thread sees them, Larson and Krishnan's server (1998) and Lever and
// Boreham's xmalloc (2000).
func AllocPatterns() []AllocPattern {
	return []AllocPattern{
		{"binary", "64 and 448 bytes in turn, the 448s freed, then 512s that fit no hole", func(b *builder) { b.binary(64, 448, 512) }},
		{"binary2", "the same with 16, 112 and 128 bytes", func(b *builder) { b.binary(16, 112, 128) }},
		{"coalescing", "pairs of neighbours freed, then one block of both", (*builder).coalescing},
		{"realloc", "one block that grows by 128 bytes beside another that lives shortly", func(b *builder) { b.growing(512, 128, 128) }},
		{"realloc2", "the same, by 5 bytes from 4092", func(b *builder) { b.growing(4092, 5, 16) }},
		{"random", "sizes up to 32 KiB, births and deaths at random", (*builder).random},
		{"needle", "many sizes, nearly all of them freed, then one size only", (*builder).needle},
		{"larson", "a server's slots: a random one is freed and filled again", (*builder).larson},
		{"xmalloc", "a queue: blocks are freed in the order of their birth, long after it", (*builder).xmalloc},
		{"cache", "an LRU cache of a fixed number of bytes whose value sizes shift in phases", func(b *builder) { b.cache(2) }},
		{"fifo", "the same without hits: values die in the order of their birth", func(b *builder) { b.cache(0) }},
	}
}

// Generate makes a trace of about ops operations with the pattern called name.
// The error lists the known names.
func Generate(name string, seed uint64, ops int) (*Trace, error) {
	if ops < 1 || ops > 1<<27 {
		return nil, fmt.Errorf("trace: %d operations of pattern %s; want 1 to %d", ops, name, 1<<27)
	}
	var names []string
	for _, p := range AllocPatterns() {
		if p.Name == name {
			b := &builder{rng: rand.New(rand.NewPCG(seed, 0x6d656d6c6162)), want: ops}
			b.t.Name, b.t.Weight = name, 1
			p.emit(b)
			b.t.Suggested = b.t.PeakLive()
			return &b.t, nil
		}
		names = append(names, p.Name)
	}
	return nil, fmt.Errorf("trace: no pattern %q; there are %s", name, strings.Join(names, ", "))
}

// A builder appends operations to a trace.
type builder struct {
	t    Trace
	rng  *rand.Rand
	want int // operations
}

// room reports whether n more operations are wanted.
func (b *builder) room(n int) bool { return len(b.t.Ops)+n <= b.want }

func (b *builder) malloc(size int) int32 {
	id := int32(b.t.IDs)
	b.t.IDs++
	b.t.Ops = append(b.t.Ops, Op{Kind: Malloc, ID: id, Size: int64(size)})
	return id
}

func (b *builder) free(id int32) { b.t.Ops = append(b.t.Ops, Op{Kind: Free, ID: id}) }

func (b *builder) realloc(id int32, size int) {
	b.t.Ops = append(b.t.Ops, Op{Kind: Realloc, ID: id, Size: int64(size)})
}

// freeAll frees ids in their order.
func (b *builder) freeAll(ids []int32) {
	for _, id := range ids {
		b.free(id)
	}
}
