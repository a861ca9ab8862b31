package replace

import "slices"

// naiveNRU keeps, for each page, its bits and when it came into its class.
type naiveNRU struct {
	n, every, now int
	pages         []int
	r, m          map[int]bool
	since         map[int]int // order of entry into the class
	order         int
}

func newNaiveNRU(n, every int) *naiveNRU {
	return &naiveNRU{n: n, every: every, r: map[int]bool{}, m: map[int]bool{}, since: map[int]int{}}
}

func (c *naiveNRU) class(p int) int {
	k := 0
	if c.r[p] {
		k = 2
	}
	if c.m[p] {
		k++
	}
	return k
}

func (c *naiveNRU) access(p int, write bool) (out []int) {
	load := !has(c.pages, p)
	if load && len(c.pages) == c.n {
		v := slices.MinFunc(c.pages, func(a, b int) int {
			return slices.Compare([]int{c.class(a), c.since[a]}, []int{c.class(b), c.since[b]})
		})
		c.pages, out = drop(c.pages, v), []int{v}
	}
	if c.now > 0 && c.now%c.every == 0 {
		down := slices.DeleteFunc(slices.Clone(c.pages), func(p int) bool { return !c.r[p] })
		slices.SortFunc(down, func(a, b int) int { return c.since[a] - c.since[b] })
		for _, q := range down {
			c.r[q] = false
			c.order++
			c.since[q] = c.order
		}
	}
	c.now++
	before := c.class(p)
	c.r[p], c.m[p] = true, write || c.m[p] && !load
	if load {
		c.pages = append(c.pages, p)
	}
	if load || c.class(p) != before {
		c.order++
		c.since[p] = c.order
	}
	return out
}

// naiveAging keeps a register and a bit for each page.
type naiveAging struct {
	n, every, now, order int
	pages                []int
	value, since         map[int]int // value: R and register as nine bits
}

func newNaiveAging(n, every int) *naiveAging {
	return &naiveAging{n: n, every: every, value: map[int]int{}, since: map[int]int{}}
}

func (c *naiveAging) compare(a, b int) int {
	return slices.Compare([]int{c.value[a], c.since[a]}, []int{c.value[b], c.since[b]})
}

func (c *naiveAging) set(p, value int) {
	c.order++
	c.value[p], c.since[p] = value, c.order
}

func (c *naiveAging) access(p int, _ bool) (out []int) {
	load := !has(c.pages, p)
	if load && len(c.pages) == c.n {
		v := slices.MinFunc(c.pages, c.compare)
		c.pages, out = drop(c.pages, v), []int{v}
	}
	if c.now > 0 && c.now%c.every == 0 {
		sorted := slices.Clone(c.pages)
		slices.SortFunc(sorted, c.compare)
		for _, q := range sorted {
			c.set(q, c.value[q]/2)
		}
	}
	c.now++
	if load {
		c.pages = append(c.pages, p)
		c.set(p, 256)
	} else if c.value[p] < 256 {
		c.set(p, c.value[p]+256)
	}
	return out
}

// naiveWindow recomputes the working set from the history.
type naiveWindow struct {
	n, tau  int
	history []int
	mem     []int // least recently used first
}

func (w *naiveWindow) access(p int, _ bool) (out []int) {
	if !has(w.mem, p) && len(w.mem) == w.n {
		out, w.mem = append(out, w.mem[0]), w.mem[1:]
	}
	w.mem = append(drop(w.mem, p), p)
	w.history = append(w.history, p)
	window := w.history[max(0, len(w.history)-w.tau):]
	for len(w.mem) > 0 && !has(window, w.mem[0]) {
		out, w.mem = append(out, w.mem[0]), w.mem[1:]
	}
	return out
}

// naivePFF keeps a use bit for each page, cleared at every fault.
type naivePFF struct {
	n, threshold int
	now, fault   int
	mem          []int // least recently used first
	used         []int // since the last fault, that one's page included
}

func (f *naivePFF) access(p int, _ bool) (out []int) {
	f.now++
	if has(f.mem, p) {
		f.mem = append(drop(f.mem, p), p)
		f.used = append(f.used, p)
		return nil
	}
	if len(f.mem) == f.n {
		out, f.mem = append(out, f.mem[0]), f.mem[1:]
	}
	if f.now-f.fault > f.threshold {
		for _, q := range f.mem {
			if !has(f.used, q) {
				out = append(out, q)
				f.mem = drop(f.mem, q)
			}
		}
	}
	f.mem = append(f.mem, p)
	f.fault, f.used = f.now, []int{p}
	return out
}

// naiveWSClock goes round frame by frame.
type naiveWSClock struct {
	n, tau, now, hand int
	frames            []int
	r, m              map[int]bool
	last              map[int]int
}

func (c *naiveWSClock) access(p int, write bool) []int {
	if c.r == nil {
		c.r, c.m, c.last = map[int]bool{}, map[int]bool{}, map[int]int{}
	}
	if has(c.frames, p) {
		c.now++
		c.r[p], c.m[p] = true, c.m[p] || write
		return nil
	}
	var out []int
	if len(c.frames) == c.n {
		i := c.choose()
		out = []int{c.frames[i]}
		c.frames[i] = p
		c.hand = (i + 1) % c.n
	} else {
		c.frames = append(c.frames, p)
	}
	c.now++
	c.r[p], c.m[p], c.last[p] = true, write, c.now
	return out
}

func (c *naiveWSClock) choose() int {
	for k := range c.n {
		v := c.frames[(c.hand+k)%c.n]
		switch {
		case c.r[v]:
			c.r[v], c.last[v] = false, c.now
		case c.now-c.last[v] <= c.tau:
		case !c.m[v]:
			return (c.hand + k) % c.n
		default:
			c.m[v] = false
		}
	}
	for k := range c.n {
		if !c.m[c.frames[(c.hand+k)%c.n]] {
			return (c.hand + k) % c.n
		}
	}
	return c.hand
}
