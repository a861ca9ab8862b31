package trace

// binary allocates small and large blocks in turn, frees the large ones, and
// asks for blocks a little larger than the holes. First fit without the small
// blocks elsewhere can use none of them.
func (b *builder) binary(small, large, larger int) {
	n := max(b.want/6, 1)
	var smalls, larges, lasts []int32
	for range n {
		smalls = append(smalls, b.malloc(small))
		larges = append(larges, b.malloc(large))
	}
	b.freeAll(larges)
	for range n {
		lasts = append(lasts, b.malloc(larger))
	}
	b.freeAll(smalls)
	b.freeAll(lasts)
}

// coalescing frees two neighbours and asks for both in one: without joining,
// memory grows with every turn.
func (b *builder) coalescing() {
	const half = 4095
	for first := true; first || b.room(6); first = false {
		x, y := b.malloc(half), b.malloc(half)
		b.free(x)
		b.free(y)
		b.free(b.malloc(2 * half))
	}
}

// growing reallocs one block by step bytes at a time while a small neighbour
// comes and goes. What moves the block at each step leaves holes behind that
// are never large enough.
func (b *builder) growing(start, step, small int) {
	size := start
	big := b.malloc(size)
	neighbour := b.malloc(small)
	const longest = 1 << 20 // then it starts again: no program's array grows for ever
	for b.room(5) {
		if size += step; size > longest {
			size = start
		}
		b.realloc(big, size)
		next := b.malloc(small)
		b.free(neighbour)
		neighbour = next
	}
	b.free(big)
	b.free(neighbour)
}

// random allocates and frees with equal chance, up to 1000 blocks at a time.
func (b *builder) random() {
	const most = 1000
	var live []int32
	for b.room(len(live) + 1) {
		if len(live) == most || len(live) > 0 && b.rng.IntN(2) == 0 {
			live = b.freeOne(live, b.rng.IntN(len(live)))
			continue
		}
		live = append(live, b.malloc(1+b.rng.IntN(32<<10)))
	}
	b.freeAll(live)
}

// freeOne frees the i-th block of live; the last takes its place.
func (b *builder) freeOne(live []int32, i int) []int32 {
	b.free(live[i])
	live[i] = live[len(live)-1]
	return live[:len(live)-1]
}

// needle allocates blocks of many sizes, frees all but one in 64, and then asks
// for one size only. A heap that keeps memory by size class holds what the many
// sizes took, and takes as much again.
func (b *builder) needle() {
	n := max(b.want/4, 1)
	var many, kept, ones []int32
	for range n {
		many = append(many, b.malloc(16+16*b.rng.IntN(128)))
	}
	for i, id := range many {
		if i%64 == 0 {
			kept = append(kept, id)
		} else {
			b.free(id)
		}
	}
	for range n {
		ones = append(ones, b.malloc(1040))
	}
	b.freeAll(ones)
	b.freeAll(kept)
}

// larson frees and fills random slots.
func (b *builder) larson() {
	var slots [1000]int32
	for i := range slots {
		slots[i] = b.malloc(16 + b.rng.IntN(497))
	}
	for b.room(len(slots) + 2) {
		i := b.rng.IntN(len(slots))
		b.free(slots[i])
		slots[i] = b.malloc(16 + b.rng.IntN(497))
	}
	b.freeAll(slots[:])
}

// xmalloc keeps a queue whose length wanders between nothing and 4096.
func (b *builder) xmalloc() {
	const longest = 4096
	var queue []int32
	grow := true
	for b.room(len(queue) + 1) {
		switch {
		case len(queue) == 0:
			grow = true
		case len(queue) == longest || b.rng.IntN(2000) == 0:
			grow = !grow
		}
		if grow == (b.rng.IntN(4) > 0) || len(queue) == 0 {
			queue = append(queue, b.malloc(16+b.rng.IntN(497)))
			continue
		}
		b.free(queue[0])
		queue = queue[1:]
	}
	b.freeAll(queue)
}

// A cached value is a node of the cache's list, from the oldest to the youngest.
type cached struct {
	id, size   int
	prev, next *cached
	atInLive   int // index in the slice from which hits are drawn
}

// cache is an LRU cache of 8 MiB: a miss evicts the oldest values until the new
// one fits, and between two misses so many hits make random values the youngest;
// then neighbours in memory die at different times. There are four ranges of value
// sizes, one after the other: the holes that old values leave are of the wrong size
// for the new ones.
func (b *builder) cache(hits int) {
	const budget = 8 << 20
	ranges := [...][2]int{{64, 256}, {256, 1024}, {100, 600}, {1000, 5000}}
	ring := new(cached) // ring.next is the oldest
	ring.prev, ring.next = ring, ring
	var live []*cached
	held := 0
	unlink := func(v *cached) { v.prev.next, v.next.prev = v.next, v.prev }
	youngest := func(v *cached) {
		v.prev, v.next = ring.prev, ring
		v.prev.next, ring.prev = v, v
	}
	for b.room(len(live) + 1) {
		phase := len(b.t.Ops) * len(ranges) / max(b.want, 1)
		r := ranges[min(phase, len(ranges)-1)]
		size := r[0] + b.rng.IntN(r[1]-r[0])
		for held+size > budget {
			old := ring.next
			unlink(old)
			b.free(int32(old.id))
			held -= old.size
			last := len(live) - 1
			live[old.atInLive], live[last].atInLive = live[last], old.atInLive
			live = live[:last]
		}
		v := &cached{id: int(b.malloc(size)), size: size, atInLive: len(live)}
		youngest(v)
		live = append(live, v)
		held += size
		for range hits {
			hit := live[b.rng.IntN(len(live))]
			unlink(hit)
			youngest(hit)
		}
	}
	for v := ring.next; v != ring; v = v.next {
		b.free(int32(v.id))
	}
}
