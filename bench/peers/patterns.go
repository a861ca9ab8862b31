package peers

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/memlab-go/memlab/alloc"
)

// rng is the generator of creplay/replay.c: equal seeds give equal sizes.
type rng uint64

func (r *rng) next() uint32 {
	*r = *r*6364136223846793005 + 1442695040888963407
	return uint32(*r >> 33)
}

// below returns a number below n, without a division.
func (r *rng) below(n uint32) uint32 { return uint32(uint64(r.next()) * uint64(n) >> 31) }

// mixed returns sizes as programs ask for them: mostly small, a few large.
func (r *rng) mixed() int {
	switch class := r.next() % 100; {
	case class < 70:
		return 16 + int(r.next()%112)
	case class < 95:
		return 128 + int(r.next()%896)
	default:
		return 1024 + int(r.next()%7168)
	}
}

// perCall returns nanoseconds a call.
func perCall(start time.Time, calls int) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(calls)
}

// pair times Malloc and Free of one block, n times, in eight rounds.
func pair(a alloc.Allocator, size, n int, report func(string, float64)) error {
	for range 8 {
		start := time.Now()
		for range n {
			b, err := a.Malloc(size)
			if err != nil {
				return err
			}
			b[0] = 1
			a.Free(b)
		}
		report("call", perCall(start, 2*n))
	}
	return nil
}

// randomOrder times the frees of count mixed blocks in random order.
func randomOrder(a alloc.Allocator, count, rounds int, report func(string, float64)) error {
	at, sizes := make([]*byte, count), make([]uint16, count)
	r := rng(1)
	for range rounds {
		for i := range at {
			size := r.mixed()
			b, err := a.Malloc(size)
			if err != nil {
				return err
			}
			at[i], sizes[i] = touched(b), uint16(size)
		}
		for i := count - 1; i > 0; i-- {
			k := int(r.next() % uint32(i+1))
			at[i], at[k] = at[k], at[i]
			sizes[i], sizes[k] = sizes[k], sizes[i]
		}
		start := time.Now()
		for i, p := range at {
			freeKept(a, p, sizes[i])
		}
		report("call", perCall(start, count))
	}
	return nil
}

const (
	larsonBlocks = 1000    // for each goroutine; a fifth of large ones
	larsonTurn   = 500_000 // operations on an array before another goroutine has it
	larsonTurns  = 20      // at least, of fewer operations then
)

// larson has each goroutine free a random block of an array and allocate
// another in its place; arrays move on to the next goroutine after every turn,
// so that blocks are freed by others than allocated them. One operation is a
// free and a malloc. (Larson, Krishnan: Memory allocation for long-running server
// applications, ISMM 1998; with as many operations a turn as its usual arguments give.)
//
// Blocks have 16 to 512 bytes, or, if they are to be large, 1040 to 9039.
func larson(c *crowd, threads, ops int, large bool, report func(string, float64)) {
	arrays := make([]larsonArray, threads)
	for i := range arrays {
		w := &arrays[i]
		if w.blocks, w.least, w.sizes = larsonBlocks, 16, 497; large {
			w.blocks, w.least, w.sizes = larsonBlocks/5, 1040, 8000
		}
	}
	per := ops / threads
	turns := max(per/larsonTurn, larsonTurns)
	for range 5 {
		var all sync.WaitGroup
		bar := barrier{n: int32(threads)}
		start := time.Now()
		for self := range threads {
			all.Go(func() {
				r := rng(100 + self)
				a := c.each()
				defer c.left(a)
				bar.wait()
				for turn := range turns {
					r = arrays[(self+turn)%threads].churn(a, r, per/turns)
					bar.wait()
				}
			})
		}
		all.Wait()
		report("op", perCall(start, per*threads))
	}
}

// larsonArray is what moves from one goroutine to the next.
type larsonArray struct {
	blocks, least, sizes uint32

	_    [64]byte // the next array may be another goroutine's
	at   [larsonBlocks]*byte
	size [larsonBlocks]uint16
}

// churn is what one goroutine does with the array in one turn.
func (w *larsonArray) churn(a alloc.Allocator, r rng, n int) rng {
	at, sizes := &w.at, &w.size
	blocks, least, spread := w.blocks, w.least, w.sizes
	for ; n > 0; n-- {
		k, size := r.below(blocks), least+r.below(spread)
		p, old := &at[k], sizes[k]
		sizes[k] = uint16(size)
		freeKept(a, *p, old)
		b, _ := a.Malloc(int(size))
		*p = touched(b)
	}
	return r
}

// A barrier holds n goroutines until all have come, again and again. They do not sleep,
// on either side: to wake a thread takes as long as thousands of operations, and a
// goroutine longer.
type barrier struct {
	n    int32
	here atomic.Int32
	turn atomic.Int32
}

func (b *barrier) wait() {
	turn := b.turn.Load()
	if b.here.Add(1) == b.n {
		b.here.Store(0)
		b.turn.Add(1)
		return
	}
	await(func() bool { return b.turn.Load() != turn })
}

const (
	batchBlocks = 64
	ringBatches = 64
)

// A batch of blocks goes from one goroutine to the other.
type batch struct {
	at   [batchBlocks]*byte
	size [batchBlocks]uint16
}

// fill allocates all blocks of the batch.
func (w *batch) fill(a alloc.Allocator, r rng) rng {
	at, sizes := &w.at, &w.size
	for k := range at {
		size := 16 + r.next()%497
		sizes[k] = uint16(size)
		b, _ := a.Malloc(int(size))
		at[k] = touched(b)
	}
	return r
}

// free frees all blocks of the batch.
func (w *batch) free(a alloc.Allocator) {
	at, sizes := &w.at, &w.size
	for k := range at {
		freeKept(a, at[k], sizes[k])
	}
}

// handover times blocks that one goroutine allocates and another frees, a batch
// at a time through a ring.
func handover(c *crowd, blocks int, report func(string, float64)) {
	queue := new([ringBatches]batch)
	batches := int64(blocks / batchBlocks)
	for range 7 {
		var written, taken atomic.Int64
		var consumer sync.WaitGroup
		start := time.Now()
		consumer.Go(func() {
			a := c.each()
			defer c.left(a)
			for i := range batches {
				await(func() bool { return written.Load() > i })
				queue[i%ringBatches].free(a)
				taken.Store(i + 1)
			}
		})
		r := rng(7)
		a := c.each()
		for i := range batches {
			await(func() bool { return i-taken.Load() < ringBatches })
			r = queue[i%ringBatches].fill(a, r)
			written.Store(i + 1)
		}
		consumer.Wait()
		c.left(a)
		report("block", perCall(start, int(batches)*batchBlocks))
	}
}
