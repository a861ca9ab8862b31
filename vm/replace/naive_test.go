package replace

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/vm"
)

// A naive policy is a second, independent implementation: a whole cache in
// plain slices, written from the paper. It takes one reference and returns what
// it evicted.
type naive interface {
	access(p int, write bool) (evicted []int)
}

// drop returns s without p.
func drop(s []int, p int) []int {
	return slices.DeleteFunc(slices.Clone(s), func(q int) bool { return q == p })
}

func has(s []int, p int) bool { return slices.Contains(s, p) }

// naiveList is FIFO, LRU and MRU: one list, loads at its end.
type naiveList struct {
	n       int
	move    bool // a hit moves the page to the end
	fromEnd bool
	list    []int
}

func (l *naiveList) access(p int, _ bool) (out []int) {
	if has(l.list, p) {
		if l.move {
			l.list = append(drop(l.list, p), p)
		}
		return nil
	}
	if len(l.list) == l.n {
		v := l.list[0]
		if l.fromEnd {
			v = l.list[l.n-1]
		}
		l.list, out = drop(l.list, v), []int{v}
	}
	l.list = append(l.list, p)
	return out
}

// naiveClock has frames with bits; classes is CLOCK-M.
type naiveClock struct {
	n       int
	frames  []int
	r, m    map[int]bool
	hand    int
	classes bool
}

func (c *naiveClock) access(p int, write bool) []int {
	if c.r == nil {
		c.r, c.m = map[int]bool{}, map[int]bool{}
	}
	if has(c.frames, p) {
		c.r[p], c.m[p] = true, c.m[p] || write
		return nil
	}
	defer func() { c.r[p], c.m[p] = true, write }()
	if len(c.frames) < c.n {
		c.frames = append(c.frames, p)
		return nil
	}
	for round := 0; ; round++ {
		for range c.n {
			i := c.hand
			v := c.frames[i]
			want := !c.r[v]
			if c.classes {
				want = want && c.m[v] == (round%2 == 1)
			}
			if want {
				c.frames[i] = p
				c.hand = (i + 1) % c.n
				return []int{v}
			}
			if !c.classes || round%2 == 1 {
				c.r[v] = false
			}
			c.hand = (i + 1) % c.n
		}
	}
}

// naiveScore evicts the page with the smallest key; keys are compared in order.
type naiveScore struct {
	n     int
	pages []int
	now   int
	hit   func(p int, load bool) // updates what key reads
	key   func(p int) []int
	tick  func()
}

func (s *naiveScore) access(p int, _ bool) (out []int) {
	load := !has(s.pages, p)
	if load && len(s.pages) == s.n {
		v := slices.MinFunc(s.pages, func(a, b int) int { return slices.Compare(s.key(a), s.key(b)) })
		s.pages, out = drop(s.pages, v), []int{v}
	}
	if s.tick != nil {
		s.tick()
	}
	s.now++
	s.hit(p, load)
	if load {
		s.pages = append(s.pages, p)
	}
	return out
}

func naiveLFU(n, halveEvery int) naive {
	count, last := map[int]int{}, map[int]int{}
	s := &naiveScore{n: n}
	s.key = func(p int) []int { return []int{count[p], last[p]} }
	s.hit = func(p int, load bool) {
		if load {
			count[p] = 0
		}
		count[p]++
		last[p] = s.now
	}
	if halveEvery > 0 {
		s.tick = func() {
			if s.now > 0 && s.now%halveEvery == 0 {
				for p := range count {
					count[p] /= 2
				}
			}
		}
	}
	return s
}

func naiveLRUK(n, k int) naive {
	times := map[int][]int{}
	s := &naiveScore{n: n}
	s.key = func(p int) []int {
		h := times[p]
		kth := 0
		if len(h) >= k {
			kth = h[len(h)-k]
		}
		return []int{kth, h[len(h)-1]}
	}
	s.hit = func(p int, _ bool) { times[p] = append(times[p], s.now) }
	return s
}

// naiveARC follows figure 4 of the ARC paper. Lists have their MRU end last.
type naiveARC struct {
	c              int
	p              float64
	t1, t2, b1, b2 []int
	out            []int
}

func (a *naiveARC) replace(inB2 bool) {
	if len(a.t1) >= 1 && (inB2 && float64(len(a.t1)) == a.p || float64(len(a.t1)) > a.p) {
		a.out, a.b1, a.t1 = []int{a.t1[0]}, append(a.b1, a.t1[0]), a.t1[1:]
	} else {
		a.out, a.b2, a.t2 = []int{a.t2[0]}, append(a.b2, a.t2[0]), a.t2[1:]
	}
}

func (a *naiveARC) access(x int, _ bool) []int {
	a.out = nil
	c := a.c
	switch {
	case has(a.t1, x) || has(a.t2, x):
		a.t1, a.t2 = drop(a.t1, x), append(drop(a.t2, x), x)
	case has(a.b1, x):
		a.p = min(float64(c), a.p+max(1, float64(len(a.b2))/float64(len(a.b1))))
		a.replace(false)
		a.b1, a.t2 = drop(a.b1, x), append(a.t2, x)
	case has(a.b2, x):
		a.p = max(0, a.p-max(1, float64(len(a.b1))/float64(len(a.b2))))
		a.replace(true)
		a.b2, a.t2 = drop(a.b2, x), append(a.t2, x)
	default:
		l1, all := len(a.t1)+len(a.b1), len(a.t1)+len(a.b1)+len(a.t2)+len(a.b2)
		if l1 == c {
			if len(a.t1) < c {
				a.b1 = a.b1[1:]
				a.replace(false)
			} else {
				a.out, a.t1 = []int{a.t1[0]}, a.t1[1:]
			}
		} else if all >= c {
			if all == 2*c {
				a.b2 = a.b2[1:]
			}
			a.replace(false)
		}
		a.t1 = append(a.t1, x)
	}
	return a.out
}

// naiveCAR follows figure 2 of the CAR paper. Heads of clocks come first.
type naiveCAR struct {
	c              int
	p              float64
	t1, t2, b1, b2 []int
	ref            map[int]bool
}

func (a *naiveCAR) access(x int, _ bool) (out []int) {
	if a.ref == nil {
		a.ref = map[int]bool{}
	}
	if has(a.t1, x) || has(a.t2, x) {
		a.ref[x] = true
		return nil
	}
	known := has(a.b1, x) || has(a.b2, x)
	if len(a.t1)+len(a.t2) == a.c {
		for out == nil {
			if float64(len(a.t1)) >= max(1, a.p) {
				h := a.t1[0]
				a.t1 = a.t1[1:]
				if a.ref[h] {
					a.ref[h], a.t2 = false, append(a.t2, h)
				} else {
					out, a.b1 = []int{h}, append(a.b1, h)
				}
				continue
			}
			h := a.t2[0]
			a.t2 = a.t2[1:]
			if a.ref[h] {
				a.ref[h], a.t2 = false, append(a.t2, h)
			} else {
				out, a.b2 = []int{h}, append(a.b2, h)
			}
		}
		if !known && len(a.t1)+len(a.b1) == a.c {
			a.b1 = a.b1[1:]
		} else if !known && len(a.t1)+len(a.t2)+len(a.b1)+len(a.b2) == 2*a.c {
			a.b2 = a.b2[1:]
		}
	}
	switch n1, n2 := float64(len(a.b1)), float64(len(a.b2)); {
	case !known:
		a.t1 = append(a.t1, x)
	case has(a.b1, x):
		a.p = min(a.p+max(1, n2/n1), float64(a.c))
		a.b1, a.t2 = drop(a.b1, x), append(a.t2, x)
	default:
		a.p = max(a.p-max(1, n1/n2), 0)
		a.b2, a.t2 = drop(a.b2, x), append(a.t2, x)
	}
	a.ref[x] = false
	return out
}

// naive2Q follows the full version of 2Q. Heads come last.
type naive2Q struct {
	c           int
	in, out, am []int
}

func (q *naive2Q) access(x int, _ bool) (evicted []int) {
	if has(q.am, x) {
		q.am = append(drop(q.am, x), x)
		return nil
	}
	if has(q.in, x) {
		return nil
	}
	hot := has(q.out, x)
	q.out = drop(q.out, x)
	if len(q.in)+len(q.am) == q.c {
		if len(q.in) > max(1, q.c/4) || len(q.am) == 0 {
			evicted = []int{q.in[0]}
			q.out, q.in = append(q.out, q.in[0]), q.in[1:]
			if len(q.out) > max(1, q.c/2) {
				q.out = q.out[1:]
			}
		} else {
			evicted, q.am = []int{q.am[0]}, q.am[1:]
		}
	}
	if hot {
		q.am = append(q.am, x)
	} else {
		q.in = append(q.in, x)
	}
	return evicted
}

// naiveLIRS keeps the stack (top last) and the queue (front first) as the paper
// draws them, with sets for what is LIR and resident.
type naiveLIRS struct {
	c            int
	stack, queue []int
	ghosts       []int // in the order of their evictions
	lir          map[int]bool
}

func (l *naiveLIRS) prune() {
	for len(l.stack) > 0 && !l.lir[l.stack[0]] {
		l.ghosts = drop(l.ghosts, l.stack[0])
		l.stack = l.stack[1:]
	}
}

// raise makes x LIR on top of the stack and one at the bottom HIR.
func (l *naiveLIRS) raise(x int) {
	l.stack = append(drop(l.stack, x), x)
	l.queue, l.ghosts = drop(l.queue, x), drop(l.ghosts, x)
	l.lir[x] = true
	l.prune()
	if len(l.lir) > l.c-max(1, l.c/100) {
		bottom := l.stack[0]
		delete(l.lir, bottom)
		l.queue = append(l.queue, bottom)
		l.prune()
	}
}

func (l *naiveLIRS) access(x int, _ bool) (out []int) {
	if l.lir == nil {
		l.lir = map[int]bool{}
	}
	switch {
	case l.lir[x]:
		l.stack = append(drop(l.stack, x), x)
		l.prune()
		return nil
	case has(l.queue, x) && has(l.stack, x):
		l.raise(x)
		return nil
	case has(l.queue, x):
		l.stack = append(l.stack, x)
		l.queue = append(drop(l.queue, x), x)
		return nil
	}
	if len(l.lir)+len(l.queue) == l.c {
		v := l.queue[0]
		out, l.queue = []int{v}, l.queue[1:]
		if has(l.stack, v) {
			l.ghosts = append(l.ghosts, v)
			if len(l.ghosts) > 2*l.c {
				g := l.ghosts[0]
				if g == x {
					g = l.ghosts[1]
					l.ghosts = append(drop(l.ghosts, x), x)
				}
				l.ghosts, l.stack = drop(l.ghosts, g), drop(l.stack, g)
			}
		}
	}
	if has(l.ghosts, x) || len(l.lir) < l.c-max(1, l.c/100) {
		l.raise(x)
		return out
	}
	l.stack, l.queue = append(drop(l.stack, x), x), append(l.queue, x)
	return out
}

// naiveSieve has the newest page last; the hand is an index that moves up.
type naiveSieve struct {
	c       int
	list    []int
	visited map[int]bool
	hand    int
}

func (s *naiveSieve) access(x int, _ bool) (out []int) {
	if s.visited == nil {
		s.visited = map[int]bool{}
	}
	if has(s.list, x) {
		s.visited[x] = true
		return nil
	}
	if len(s.list) == s.c {
		for s.hand %= len(s.list); s.visited[s.list[s.hand]]; s.hand = (s.hand + 1) % len(s.list) {
			s.visited[s.list[s.hand]] = false
		}
		out = []int{s.list[s.hand]}
		if s.list = slices.Delete(s.list, s.hand, s.hand+1); s.hand == len(s.list) {
			s.hand = 0
		}
	}
	s.list = append(s.list, x)
	s.visited[x] = false
	return out
}

// naiveS3 follows algorithm 1 of the S3-FIFO paper. Oldest pages come first.
type naiveS3 struct {
	c                  int
	small, main, ghost []int
	freq               map[int]int
}

func (s *naiveS3) access(x int, _ bool) (out []int) {
	if s.freq == nil {
		s.freq = map[int]int{}
	}
	if has(s.small, x) || has(s.main, x) {
		s.freq[x] = min(s.freq[x]+1, 3)
		return nil
	}
	in := max(1, s.c/10)
	wasGhost := has(s.ghost, x)
	if len(s.small)+len(s.main) == s.c {
		fromSmall := len(s.small) >= in || len(s.main) == 0
		for out == nil {
			if fromSmall && len(s.small) > 0 {
				t := s.small[0]
				s.small = s.small[1:]
				if s.freq[t] > 1 {
					s.freq[t], s.main = 0, append(s.main, t)
					fromSmall = len(s.main) <= max(1, s.c-in)
				} else {
					out, s.ghost = []int{t}, append(s.ghost, t)
					if len(s.ghost) > max(1, s.c-in) {
						if s.ghost[0] == x {
							s.ghost = append(s.ghost[1:], x)
						}
						s.ghost = s.ghost[1:]
					}
				}
				continue
			}
			t := s.main[0]
			s.main = s.main[1:]
			if s.freq[t] > 0 {
				s.freq[t]--
				s.main = append(s.main, t)
			} else {
				out = []int{t}
			}
		}
	}
	if wasGhost {
		s.ghost = drop(s.ghost, x)
		s.main = append(s.main, x)
	} else {
		s.small = append(s.small, x)
	}
	s.freq[x] = 0
	return out
}

// TestAgainstNaive compares every policy with its second implementation: which
// page leaves at which reference.
func TestAgainstNaive(t *testing.T) {
	for _, c := range []struct {
		spec string
		make func(n int) naive
	}{
		{"FIFO", func(n int) naive { return &naiveList{n: n} }},
		{"LRU", func(n int) naive { return &naiveList{n: n, move: true} }},
		{"MRU", func(n int) naive { return &naiveList{n: n, move: true, fromEnd: true} }},
		{"CLOCK", func(n int) naive { return &naiveClock{n: n} }},
		{"SECOND-CHANCE", func(n int) naive { return &naiveClock{n: n} }},
		{"CLOCK-M", func(n int) naive { return &naiveClock{n: n, classes: true} }},
		{"LFU", func(n int) naive { return naiveLFU(n, 0) }},
		{"LFU-AGED:tick=37", func(n int) naive { return naiveLFU(n, 37) }},
		{"LRU-2", func(n int) naive { return naiveLRUK(n, 2) }},
		{"LRU-K:k=3", func(n int) naive { return naiveLRUK(n, 3) }},
		{"NRU:tick=29", func(n int) naive { return newNaiveNRU(n, 29) }},
		{"AGING:tick=11", func(n int) naive { return newNaiveAging(n, 11) }},
		{"WS:tau=15", func(n int) naive { return &naiveWindow{n: n, tau: 15} }},
		{"PFF:threshold=6", func(n int) naive { return &naivePFF{n: n, threshold: 6} }},
		{"WSCLOCK:tau=20", func(n int) naive { return &naiveWSClock{n: n, tau: 20} }},
		{"ARC", func(n int) naive { return &naiveARC{c: n} }},
		{"CAR", func(n int) naive { return &naiveCAR{c: n} }},
		{"2Q", func(n int) naive { return &naive2Q{c: n} }},
		{"LIRS", func(n int) naive { return &naiveLIRS{c: n} }},
		{"SIEVE", func(n int) naive { return &naiveSieve{c: n} }},
		{"S3-FIFO", func(n int) naive { return &naiveS3{c: n} }},
	} {
		t.Run(c.spec, func(t *testing.T) {
			for seed := range uint64(24) {
				n := 1 + int(seed*7%90)
				if seed < 12 {
					n = 1 + int(seed)
				}
				compareNaive(t, c.spec, c.make(n), n, randomTrace(seed, 3000, 3*n+2))
			}
			compareNaive(t, c.spec, c.make(210), 210, randomTrace(99, 6000, 500))
		})
	}
}

func compareNaive(t *testing.T, spec string, second naive, frames int, refs []Ref) {
	t.Helper()
	p, err := New(spec, Config{Frames: frames})
	require.NoError(t, err)
	s := NewSim(p, frames)
	var out []int
	s.OnEvict(func(v vm.PageID, _ bool) { out = append(out, int(v)) })
	for i, r := range refs {
		out = nil
		_, err := s.Step(r)
		require.NoError(t, err)
		require.Equal(t, second.access(int(r.Page()), r.Write()), out, "%s, %d frames, reference %d to page %d", spec, frames, i, r.Page())
	}
}
