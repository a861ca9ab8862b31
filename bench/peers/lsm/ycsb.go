package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// A mix is one of YCSB's core workloads (Cooper et al., SoCC 2010, table 2).
type mix struct {
	name                            string
	read, update, insert, scan, rmw float64 // shares
	latest                          bool    // reads prefer what was inserted last
}

func ycsbMixes() []mix {
	return []mix{
		{name: "ycsb-A", read: .5, update: .5},
		{name: "ycsb-B", read: .95, update: .05},
		{name: "ycsb-C", read: 1},
		{name: "ycsb-D", read: .95, insert: .05, latest: true},
		{name: "ycsb-E", scan: .95, insert: .05},
		{name: "ycsb-F", read: .5, rmw: .5},
	}
}

const ycsbScanMax = 100

// A zipf draws ranks below n with YCSB's skew of 0.99 (Gray et al., SIGMOD
// 1994), which math/rand's generator does not reach.
type zipf struct {
	n, theta, alpha, zetan, eta float64
}

func newZipf(n int) zipf {
	z := zipf{n: float64(n), theta: 0.99}
	for i := 1; i <= n; i++ {
		z.zetan += 1 / math.Pow(float64(i), z.theta)
	}
	zeta2 := 1 + math.Pow(0.5, z.theta)
	z.alpha = 1 / (1 - z.theta)
	z.eta = (1 - math.Pow(2/z.n, 1-z.theta)) / (1 - zeta2/z.zetan)
	return z
}

func (z *zipf) rank(rng *rand.Rand) uint64 {
	u := rng.Float64()
	uz := u * z.zetan
	switch {
	case uz < 1:
		return 0
	case uz < 1+math.Pow(0.5, z.theta):
		return 1
	}
	return uint64(z.n * math.Pow(z.eta*u-z.eta+1, z.alpha))
}

// scramble spreads the popular ranks over the key space.
func scramble(rank uint64, n int) uint64 { return rank * 0x9e3779b97f4a7c15 % uint64(n) }

// ycsb runs N/2 operations, or N/10 for the one that scans.
func (r *run) ycsb(h *hist, m mix) (ops, found int64, err error) {
	rng := rand.New(rand.NewPCG(29, uint64(m.name[len(m.name)-1])))
	z := newZipf(r.c.N)
	total := r.c.N / 2
	if m.scan > 0 {
		total = r.c.N / 10
	}
	next := uint64(r.c.N)
	var k, v []byte
	last := time.Now()
	for ; ops < int64(total); ops++ {
		rank := z.rank(rng)
		n := scramble(rank, r.c.N)
		if m.latest {
			n = next - 1 - min(rank, next-1)
		}
		x := rng.Float64()
		var ok bool
		switch {
		case x < m.read:
			k = key(k, n, "")
			v, ok, err = r.e.Get(v[:0], k)
			r.got += int64(len(v))
		case x < m.read+m.update:
			err = r.put(key(k, n, ""))
		case x < m.read+m.update+m.insert:
			err = r.put(key(k, next, ""))
			next++
		case x < m.read+m.update+m.insert+m.scan:
			ok, err = r.shortScan(key(k, n, ""), 1+rng.IntN(ycsbScanMax))
		default:
			k = key(k, n, "")
			if v, ok, err = r.e.Get(v[:0], k); err == nil {
				r.got += int64(len(v))
				err = r.put(k)
			}
		}
		if err != nil {
			return ops, found, err
		}
		if ok {
			found++
		}
		now := time.Now()
		h.add(now.Sub(last))
		last = now
	}
	return ops, found, nil
}

func (r *run) put(k []byte) error {
	v := r.values.next()
	r.user += int64(len(k) + len(v))
	return r.e.Put(k, v)
}

func (r *run) shortScan(k []byte, n int) (bool, error) {
	it, err := r.e.Iter()
	if err != nil {
		return false, err
	}
	ok := it.SeekGE(k)
	first := ok
	for ; ok && n > 0; n-- {
		r.got += int64(len(it.Key()) + len(it.Value()))
		ok = it.Next()
	}
	return first, it.Close()
}
