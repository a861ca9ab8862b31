package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// CrashClone returns the file system that a power failure at this moment could
// leave; m goes on unchanged. Equal seeds give equal clones.
//
// What was synced is there. Of the rest, with probability p each: a block of
// unsynced bytes (512 B to 4 KiB, another size for each file) is kept, a file's
// truncation is kept, and a change of a directory entry is kept. Blocks that are
// lost keep their old bytes, or read as zeros when blocks behind them are kept.
// Changes that hang together (a file is made, then renamed) are kept from the
// first up to some point. 0 keeps only what was synced, 1 keeps everything.
// Locks are gone.
func (m *Mem) CrashClone(p float64, seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &crash{p: p, rng: rand.New(rand.NewPCG(seed, 0x6c736d)), done: map[*memNode]*memNode{}}
	return &Mem{root: c.clone(m.root)}
}

type crash struct {
	p    float64
	rng  *rand.Rand
	done map[*memNode]*memNode // a file with two names stays one file
}

func (c *crash) keeps() bool { return c.rng.Float64() < c.p }

func (c *crash) clone(n *memNode) *memNode {
	if done := c.done[n]; done != nil {
		return done
	}
	var out *memNode
	if n.dir {
		out = newMemDir()
		c.done[n] = out
		c.cloneDir(n, out)
	} else {
		out = newMemFile()
		c.done[n] = out
		out.data = c.content(n)
		out.durable = slices.Clone(out.data)
	}
	return out
}

// cloneDir decides which entries are left. Names are taken in order, so that
// the random numbers are the same in every run.
func (c *crash) cloneDir(n, out *memNode) {
	left := maps.Clone(n.onDisk)
	groups := joinGroups(n.pending)
	lost := map[int]bool{}
	for i, ch := range n.pending {
		g := groups[i]
		if i > 0 && n.pending[i-1].group == ch.group {
			if lost[g] {
				continue // the other half of a rename that was lost
			}
		} else if lost[g] || !c.keeps() {
			lost[g] = true
			continue
		}
		if ch.node == nil {
			delete(left, ch.name)
		} else {
			left[ch.name] = ch.node
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		e := c.clone(left[name])
		out.entries[name], out.onDisk[name] = e, e
	}
}

// joinGroups gives each change the number of its group: changes of one name
// belong together, and so do the names of a rename.
func joinGroups(changes []change) []int {
	parent := map[string]string{}
	var root func(string) string
	root = func(s string) string {
		if p, ok := parent[s]; ok && p != s {
			return root(p)
		}
		return s
	}
	for i := 1; i < len(changes); i++ {
		if changes[i].group == changes[i-1].group {
			a, b := root(changes[i-1].name), root(changes[i].name)
			if a != b {
				parent[a] = b
			}
		}
	}
	ids, out := map[string]int{}, make([]int, len(changes))
	for i, ch := range changes {
		r := root(ch.name)
		if _, ok := ids[r]; !ok {
			ids[r] = len(ids)
		}
		out[i] = ids[r]
	}
	return out
}

// content decides which bytes of a file are left.
func (c *crash) content(n *memNode) []byte {
	out := slices.Clone(n.durable)
	if n.cut >= 0 && c.keeps() && n.cut < len(out) {
		out = out[:n.cut]
	}
	perBlock := 1 << c.rng.IntN(4) // sectors: 512 B to 4 KiB
	last, keep := -1, false
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		if b := s / perBlock; b != last {
			last, keep = b, c.keeps()
		}
		lo, hi := s*memSector, min((s+1)*memSector, len(n.data))
		if !keep || lo >= hi {
			continue
		}
		if len(out) < hi {
			out = append(out, make([]byte, hi-len(out))...)
		}
		copy(out[lo:hi], n.data[lo:hi])
	}
	return out
}
