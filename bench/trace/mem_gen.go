package trace

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// A Pattern describes a generated trace: data references to pages of 4096
// bytes, the first page at address 0. Zero fields mean the defaults in the
// comments. The same Pattern always gives the same references.
type Pattern struct {
	Kind   string  // zipf, scan, loop, stride, phases or uniform
	N      int64   // references; 1 000 000
	Pages  int     // footprint in pages; 4096
	Seed   uint64  // of everything random
	S      float64 // zipf: exponent, rank r has weight r^-s; 0.9
	Writes float64 // share of stores, 0 to 1; 0.25. Negative: none
	Stride int64   // stride: distance of two references in bytes; 4096
	Phases int     // phases: how many; 8
}

// patternPage is the page size that patterns think in.
const patternPage = 4096

// maxPatternPages bounds the memory of a generator.
const maxPatternPages = 1 << 26

// ParseGenerator makes a generator from a text such as
// "zipf:n=500000,pages=20000,s=0.9,seed=7,writes=0.25": a kind, then fields of
// [Pattern] by their lower-case names.
func ParseGenerator(spec string) (*Generator, error) {
	kind, fields, _ := strings.Cut(spec, ":")
	p := Pattern{Kind: kind}
	for _, f := range strings.FieldsFunc(fields, func(r rune) bool { return r == ',' }) {
		key, val, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("trace: generator %q: want name=value, got %q", spec, f)
		}
		if err := p.set(key, val); err != nil {
			return nil, fmt.Errorf("trace: generator %q: %w", spec, err)
		}
	}
	return NewGenerator(p)
}

// set sets the field key from its text.
func (p *Pattern) set(key, val string) (err error) {
	switch key {
	case "n":
		p.N, err = strconv.ParseInt(val, 10, 64)
	case "pages":
		p.Pages, err = strconv.Atoi(val)
	case "seed":
		p.Seed, err = strconv.ParseUint(val, 10, 64)
	case "s":
		p.S, err = strconv.ParseFloat(val, 64)
	case "writes":
		p.Writes, err = strconv.ParseFloat(val, 64)
		if err == nil && p.Writes == 0 {
			p.Writes = -1
		}
	case "stride":
		p.Stride, err = strconv.ParseInt(val, 10, 64)
	case "phases":
		p.Phases, err = strconv.Atoi(val)
	default:
		return fmt.Errorf("unknown field %q (have n, pages, seed, s, writes, stride, phases)", key)
	}
	if err != nil {
		return fmt.Errorf("bad value %q of %s", val, key)
	}
	if v, err := strconv.ParseFloat(val, 64); err == nil && v == 0 && key != "seed" && key != "writes" {
		return fmt.Errorf("%s is 0, want more", key) // it would stand for the default
	}
	return nil
}

// A Generator is a [RefReader] of references that follow a [Pattern]. Its
// memory does not depend on how many there are.
//
//	zipf     page of rank r with probability in proportion to r^-s, ranks
//	         scattered over the pages
//	uniform  every page alike
//	loop     pages 0, 1, …, Pages-1 over and over: the worst case of LRU
//	scan     zipf over the first half of the pages, broken by sequential
//	         passes over the second half
//	stride   addresses 0, Stride, 2·Stride, … modulo the footprint
//	phases   zipf over one window of pages after another
//
// Not safe for concurrent use.
type Generator struct {
	p      Pattern
	rng    *rand.Rand
	next   func() uint64 // address of the next reference
	writes uint32        // threshold for the share of stores
	i      int64         // references made
}

// NewGenerator returns a generator of p, or an error that names the bad field.
func NewGenerator(p Pattern) (*Generator, error) {
	p.defaults()
	switch {
	case p.N < 0:
		return nil, fmt.Errorf("trace: pattern: N %d is negative", p.N)
	case p.Pages < 1 || p.Pages > maxPatternPages:
		return nil, fmt.Errorf("trace: pattern: Pages %d is not in 1..%d", p.Pages, maxPatternPages)
	case !(p.S > 0 && p.S <= 10):
		return nil, fmt.Errorf("trace: pattern: S %v is not in (0, 10]", p.S)
	case !(p.Writes <= 1):
		return nil, fmt.Errorf("trace: pattern: Writes %v is above 1", p.Writes)
	case p.Phases < 1:
		return nil, fmt.Errorf("trace: pattern: Phases %d is not positive", p.Phases)
	}
	g := &Generator{p: p, rng: rand.New(rand.NewPCG(p.Seed, 0x6d656d6c6162))}
	g.writes = uint32(max(p.Writes, 0) * math.MaxUint32)
	switch p.Kind {
	case "zipf":
		g.next = g.zipf(p.Pages)
	case "uniform":
		g.next = func() uint64 { return patternPage * g.rng.Uint64N(uint64(p.Pages)) }
	case "loop":
		g.next = func() uint64 { return patternPage * (uint64(g.i) % uint64(p.Pages)) }
	case "stride":
		g.next = func() uint64 { return uint64(g.i) * uint64(p.Stride) % (patternPage * uint64(p.Pages)) }
	case "scan":
		g.next = g.scan()
	case "phases":
		g.next = g.phases()
	default:
		return nil, fmt.Errorf("trace: unknown pattern %q (have zipf, uniform, loop, scan, stride, phases)", p.Kind)
	}
	return g, nil
}

// defaults fills in the zero fields.
func (p *Pattern) defaults() {
	set := func(v *float64, def float64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&p.S, 0.9)
	set(&p.Writes, 0.25)
	if p.N == 0 {
		p.N = 1_000_000
	}
	if p.Pages == 0 {
		p.Pages = 4096
	}
	if p.Stride == 0 {
		p.Stride = patternPage
	}
	if p.Phases == 0 {
		p.Phases = 8
	}
}

// Pattern returns the pattern with its defaults filled in.
func (g *Generator) Pattern() Pattern { return g.p }

// Skipped implements [RefReader]; it is always 0.
func (g *Generator) Skipped() int64 { return 0 }

// Progress returns how many references were made and how many there will be.
func (g *Generator) Progress() (done, total int64) { return g.i, g.p.N }

// ReadRefs implements [RefReader].
func (g *Generator) ReadRefs(refs []Ref) (int, error) {
	if g.i >= g.p.N {
		return 0, io.EOF
	}
	n := int(min(int64(len(refs)), g.p.N-g.i))
	for k := range n {
		kind := RefLoad
		addr := g.next()
		if g.writes > 0 && g.rng.Uint32() <= g.writes {
			kind = RefStore
		}
		refs[k] = Ref{Addr: addr, Size: 8, Kind: kind}
		g.i++
	}
	return n, nil
}

// zipf draws from n pages by Walker's alias method: O(1) a draw. Ranks are
// scattered over the pages by a seeded permutation.
func (g *Generator) zipf(n int) func() uint64 {
	a := newAlias(n, g.p.S)
	perm := g.rng.Perm(n)
	return func() uint64 { return patternPage * uint64(perm[a.draw(g.rng)]) }
}

// scan alternates 90 % of zipf references with sequential passes.
func (g *Generator) scan() func() uint64 {
	hot := max(g.p.Pages/2, 1)
	cold := max(g.p.Pages-hot, 1)
	zipf := g.zipf(hot)
	left, at := 0, 0
	return func() uint64 {
		if left == 0 && g.rng.Uint32N(uint32(9*cold)) == 0 {
			left, at = cold, 0
		}
		if left == 0 {
			return zipf()
		}
		left--
		at++
		return patternPage * uint64(min(hot+at-1, g.p.Pages-1))
	}
}

// phases moves a window of a Phases-th of the pages, which is what a program
// that works on one thing after another does.
func (g *Generator) phases() func() uint64 {
	window := max(g.p.Pages/g.p.Phases, 1)
	zipf := g.zipf(window)
	span := max(g.p.N/int64(g.p.Phases), 1)
	return func() uint64 {
		phase := min(g.i/span, int64(g.p.Phases-1))
		return zipf() + patternPage*uint64(window)*uint64(phase)
	}
}

// alias holds Walker's tables: column i keeps itself with probability keep[i]
// and yields other[i] else.
type alias struct {
	keep  []float64
	other []int32
}

// newAlias builds the tables for weights (i+1)^-s (Vose 1991). O(n).
func newAlias(n int, s float64) *alias {
	a := &alias{keep: make([]float64, n), other: make([]int32, n)}
	sum := 0.0
	for i := range n {
		a.keep[i] = math.Pow(float64(i+1), -s)
		sum += a.keep[i]
	}
	var small, large []int32
	for i := range a.keep {
		if a.keep[i] *= float64(n) / sum; a.keep[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		lo, hi := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.other[lo] = hi
		if a.keep[hi] += a.keep[lo] - 1; a.keep[hi] < 1 {
			large = large[:len(large)-1]
			small = append(small, hi)
		}
	}
	for _, i := range append(small, large...) { // 1 up to rounding
		a.keep[i] = 1
	}
	return a
}

func (a *alias) draw(r *rand.Rand) int {
	i := r.IntN(len(a.keep))
	if r.Float64() < a.keep[i] {
		return i
	}
	return int(a.other[i])
}
