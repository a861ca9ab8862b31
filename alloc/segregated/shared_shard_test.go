package segregated

import (
	"math/bits"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestSharedClasses holds what the words of runs need: no class has more slots
// than the word, none of a run's units is past its kind's index, and a word says
// what it is.
func TestSharedClasses(t *testing.T) {
	for ci, size := range SharedClasses() {
		c := newSharedClass(ci+1, uintptr(size))
		require.LessOrEqual(t, c.numSlots(), maxRunSlots, "size %d", size)
		require.LessOrEqual(t, c.units, uintptr(runIndex+1), "size %d", size)
		require.LessOrEqual(t, uintptr(c.numSlots())*c.size, c.units*unitSize, "size %d", size)
		require.GreaterOrEqual(t, c.numSlots()*size*4, int(c.units)*unitSize*3, "size %d: a quarter is waste", size)
		w := c.empty()
		require.True(t, c.isRun(w) && c.isEmpty(w) && !isFull(w), "size %d", size)
		require.True(t, isFull(w|slotMask) && !c.isEmpty(w|slotMask), "size %d", size)
		require.Equal(t, c.numSlots(), freeSlots(w), "size %d", size)
	}
}

// TestSharedCur: the slots that a shard's word has at hand are those that were
// lent, whichever window they come from.
func TestSharedCur(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 10_000 {
		run := uintptr(1 + rng.IntN(1<<30-1))
		free := rng.Uint64() & rng.Uint64() & slotMask
		cur, lent := newCur(run, free)
		require.Zero(t, lent&^free)
		require.Equal(t, free == 0, lent == 0)
		require.GreaterOrEqual(t, 2*bits.OnesCount64(lent), bits.OnesCount64(free))
		require.Equal(t, lent, atHand(cur, run))
		require.Zero(t, atHand(cur, run+1))
		require.Equal(t, uint64(slotMask), atHand(cur|curFill, run))
		if lent != 0 {
			require.Equal(t, lent&(lent-1), atHand(cur&(cur-1), run), "the first slot is taken")
		}
	}
}

// TestSharedIdleShard: what a shard has that nobody uses any more goes to those
// who ask for more.
func TestSharedIdleShard(t *testing.T) {
	s := freshSharedIn(t, 64<<20, &arena.Options{}, nil)
	s.alone = true // no claims
	idle := s.shards[0]
	for i := range s.seats {
		s.seats[i].Store(idle)
	}
	var kept [][]byte
	for i := range 5000 {
		b := must(t, s, 1+i%MaxClass)
		if i%7 == 0 {
			kept = append(kept, b)
		} else {
			s.Free(b)
		}
	}
	require.Positive(t, idle.runs)
	for i := range s.seats {
		s.seats[i].Store(s.shards[1]) // everybody has moved
	}
	var more [][]byte
	for range 20 * visitEvery * len(s.shards) {
		more = append(more, must(t, s, 500))
	}
	require.Zero(t, listed(idle), "runs of the idle shard are still its own")
	require.NoError(t, s.Check())
	for _, b := range append(kept, more...) {
		s.Free(b)
	}
}

// listed returns how many runs with free slots o has.
func listed(o *shard) (n int) {
	for ci := range o.lists {
		n += o.lists[ci].len()
		if o.cur[ci].Load() != 0 {
			n++
		}
	}
	return n
}

// TestSharedFreedIsFound: memory that one goroutine has freed serves others,
// whatever shards they have.
func TestSharedFreedIsFound(t *testing.T) {
	s := freshSharedIn(t, 64<<20, &arena.Options{}, nil)
	s.alone = true // no claims
	h := s.Handle()
	var all [][]byte
	for range 20_000 {
		all = append(all, must(t, h, 100))
	}
	top := s.h.top
	for i := range all {
		if i%2 == 0 { // each run half free
			h.Free(all[i])
		}
	}
	require.NoError(t, h.Close())
	var wg sync.WaitGroup
	for i := range 4 { // one after the other: who finds a shard locked may take a new run
		for j := range s.seats {
			s.seats[j].Store(s.shards[i])
		}
		wg.Go(func() {
			for range 2000 {
				if _, err := s.Malloc(100); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
	}
	require.LessOrEqual(t, s.h.top, top+uint64(32<<10>>granuleShift), "the heap has grown though half of it was free")
	require.NoError(t, s.Check())
}

// TestSharedHandleGivesBack: a handle that is closed leaves nothing behind, and
// its place is used again.
func TestSharedHandleGivesBack(t *testing.T) {
	s := freshSharedIn(t, 64<<20, &arena.Options{}, nil)
	for range 100 {
		h := s.Handle()
		var bs [][]byte
		for size := 1; size <= MaxClass; size += 16 {
			bs = append(bs, must(t, h, size))
		}
		for i, b := range bs {
			if i%2 == 0 {
				s.Free(b)
			} else {
				h.Free(b)
			}
		}
		require.NoError(t, h.Close())
		_, err := h.Malloc(10)
		require.ErrorIs(t, err, alloc.ErrClosed)
	}
	require.Len(t, *s.owners.Load(), len(s.shards)+len(s.desks)+1)
	s.Trim()
	st := s.Stats()
	require.Zero(t, st.LiveBlocks)
	require.Equal(t, s.h.hdr.first, s.h.top, "runs are left")
	require.NoError(t, s.Check())
}

// TestSharedOutOfMemory: what shards and handles have at hand is found when
// there is nothing else, and memory that was freed is good for any size.
func TestSharedOutOfMemory(t *testing.T) {
	s := freshSharedIn(t, 4<<20, &arena.Options{}, &Options{Limit: 2 << 20})
	h := s.Handle()
	defer h.Close()
	for _, a := range []alloc.Allocator{s, h, s} {
		for _, size := range []int{16, 200, 1000, 3000} {
			var all [][]byte
			for {
				b, err := a.Malloc(size)
				if err != nil {
					require.ErrorIs(t, err, alloc.ErrNoMemory)
					break
				}
				all = append(all, b)
			}
			require.Greater(t, len(all)*max(size, 21), 1<<20, "size %d", size)
			for _, b := range all {
				a.Free(b)
			}
		}
	}
	require.NoError(t, s.Check())
	require.Zero(t, s.Stats().LiveBlocks)
}

// TestSharedCheckFinds breaks the laws of runs and lists, one at a time.
func TestSharedCheckFinds(t *testing.T) {
	fill := func(t *testing.T) (*Shared, uintptr, *sharedClass) {
		s := freshSharedIn(t, 16<<20, &arena.Options{}, nil)
		var all [][]byte
		for range 500 {
			all = append(all, must(t, s, 64))
		}
		for i := 0; i < len(all); i += 3 {
			s.Free(all[i])
		}
		require.NoError(t, s.Check())
		return s, uintptr(addrOf(all[0])-uintptr(s.base)) >> unitShift, s.classFor(64)
	}
	for name, harm := range map[string]func(*Shared, uintptr, *sharedClass) (undo func()){
		"L4": func(s *Shared, u uintptr, c *sharedClass) func() {
			_, row := s.word(u)
			old := *row
			*row = old &^ (1 << 63)
			return func() { *row = old }
		},
		"L4: row": func(s *Shared, u uintptr, c *sharedClass) func() {
			*s.bound(u + 1) = 1
			return func() { *s.bound(u + 1) = 0 }
		},
		"L4: lent": func(s *Shared, u uintptr, c *sharedClass) func() {
			p := s.shown(u)
			old := *p
			*p = 1
			return func() { *p = old }
		},
		"L7": func(s *Shared, u uintptr, c *sharedClass) func() {
			*s.bound(u) ^= listedBit
			return func() { *s.bound(u) ^= listedBit }
		},
		"L7: list": func(s *Shared, u uintptr, c *sharedClass) func() {
			o := s.ownerOf(c, u)
			l := &o.lists[c.index]
			l.push(u)
			l.push(u)
			return func() { l.q = l.q[:len(l.q)-2] }
		},
		"L8": func(s *Shared, u uintptr, c *sharedClass) func() {
			o := s.ownerOf(c, u)
			o.runs++
			return func() { o.runs-- }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, u, c := fill(t)
			u -= uintptr(s.h.kinds[u] & runIndex)
			undo := harm(s, u, c)
			err := s.h.look()
			undo()
			require.ErrorContains(t, err, name[:2])
			require.NoError(t, s.Check())
			harm(s, u, c)
			require.ErrorIs(t, s.Check(), alloc.ErrCorrupt)
			_, err = s.Malloc(int(c.size))
			require.ErrorIs(t, err, alloc.ErrCorrupt)
		})
	}
}

// TestSharedSeats: goroutines that run at the same time, mostly, do not share a
// shard, and one that calls again finds its own.
func TestSharedSeats(t *testing.T) {
	a, b := seat(), seat()
	require.Equal(t, a, b)
	const n = 16
	var wg, ready sync.WaitGroup
	var mu sync.Mutex
	seen := map[uintptr]bool{}
	ready.Add(n)
	for range n {
		wg.Go(func() {
			at := seat()
			mu.Lock()
			seen[at] = true
			mu.Unlock()
			ready.Done()
			ready.Wait() // so that no stack is used twice
		})
	}
	wg.Wait()
	require.Greater(t, len(seen), 1)
	runtime.KeepAlive(seen)
}

// TestSharedChangingWord: a shard's word that changes says nothing about what is
// at hand, however often it is looked at.
func TestSharedChangingWord(t *testing.T) {
	s := freshShared(t, 16<<20, nil)
	b := must(t, s, 48)
	p, ok := s.placeAt(addrOf(b) - uintptr(s.base))
	require.True(t, ok)
	at := &s.ownerOf(p.c, p.run).cur[p.c.index]
	cur := at.Load()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			at.Store(uint64(p.run)<<curShift | curFill)
			at.Store(cur)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for range 50_000 {
		if s.isLent(p) {
			t.Error("a block that was handed out is taken for one at hand")
			break
		}
	}
	close(done)
	wg.Wait()
	s.Free(b)
}

// TestSharedRefillRace: while a handle gets another run, somebody frees a block of the
// run that it has used up. The handle may find that block first; the other run is
// its own all the same, so that nobody lists it again.
func TestSharedRefillRace(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector a free takes the lock that the test holds")
	}
	s := freshSharedIn(t, 64<<20, &arena.Options{}, nil)
	h := s.Handle()
	c := s.classFor(500)
	full := make([][]byte, 2*c.numSlots())
	for i := range full {
		full[i] = must(t, h, 500)
	}
	now, other := h.now[c.size/granule], h.other[c.size/granule]
	old := other.run
	s.mu.Lock() // keeps the handle from getting a run
	got := make(chan []byte)
	go func() {
		b, _ := h.Malloc(500)
		got <- b
	}()
	for w, _ := s.word(old); w&heldBit != 0; w, _ = s.word(old) { // given back for another
		runtime.Gosched()
	}
	for _, b := range full {
		if off := addrOf(b) - uintptr(s.base); off>>unitShift-now.run < c.units {
			s.Free(b)
			break
		}
	}
	s.mu.Unlock()
	require.NotNil(t, <-got)
	for _, hd := range []*hand{now, other} {
		w, _ := s.word(hd.run)
		require.NotZero(t, w&heldBit, "a hand has the run at %#x, and its word does not say so", hd.run<<unitShift)
	}
	require.NoError(t, s.Check())
}

// TestCloseOvertakesMalloc: a Malloc that has seen the heap open, and goes on when it
// is closed, finds no slot, and gives nothing back to what is gone.
func TestCloseOvertakesMalloc(t *testing.T) {
	s := freshShared(t, 8<<20, nil)
	h := s.Handle()
	c := s.classFor(64)
	var all [][]byte
	for range 40 * c.numSlots() {
		all = append(all, must(t, h, 64))
	}
	for _, b := range all {
		s.Free(b)
	}
	for h.now[c.size/granule].lent() != 0 {
		b := must(t, h, 64)
		if h.now[c.size/granule].lent() == 0 {
			s.Free(b) // so that the run has a slot to lend
		}
	}
	if err := s.Close(); err != nil {
		require.ErrorIs(t, err, alloc.ErrLeak)
	}
	require.Nil(t, s.mallocSlot(h.o, c, 64), "from the hands")
	for _, o := range *s.owners.Load() {
		require.Nil(t, s.mallocSlot(o, c, 64), "from a shard")
		s.relieve(o, c)
	}
	_, err := h.Malloc(64)
	require.ErrorIs(t, err, alloc.ErrClosed)
	_, err = s.Malloc(64)
	require.ErrorIs(t, err, alloc.ErrClosed)
}

// TestHandleOutgrows: while the blocks of a class come and go, and are one more than a run
// has slots, the handle stays with the run that most of them are in; when they grow it
// goes on to the next one.
func TestHandleOutgrows(t *testing.T) {
	const size = 64
	s, h := biasedHandle(t, size)
	slots := s.classFor(size).numSlots()
	var live [][]byte
	take := func() { live = append(live, must(t, h, size)) }
	drop := func() {
		h.Free(live[0])
		live = live[1:]
	}
	now := func() *hand { return h.now[size/granule] }
	for now().lent() != 0 {
		take()
	}
	home := now()
	for range 10 {
		h.Free(must(t, h, 2*size)) // other blocks come and go meanwhile
		take()
		require.True(t, now() == home, "one block too many, and the hands change places")
		drop()
		drop()
		take()
	}
	for range sparedSlots - 1 {
		take()
		h.Free(must(t, h, 2*size))
		require.True(t, now() == home, "few blocks too many, and the hands change places")
	}
	require.Len(t, live, slots+sparedSlots-1)
	take()
	take()
	require.True(t, now() != home, "the hand that most blocks come from is looked at last")
	for len(live) > 0 {
		drop()
	}
	home = now()
	for now() == home {
		take()
	}
	require.Len(t, live, slots+2, "nothing is freed meanwhile, and the hands do not change places")
	for len(live) > 0 {
		drop()
	}
	require.NoError(t, s.Check())
}

// TestHandleFreesIntoOther: a block of the run that the handle does not take slots of is
// freed by a plain write, too, and a bad free of it found.
func TestHandleFreesIntoOther(t *testing.T) {
	const size = 64
	s, h := biasedHandle(t, size)
	now, other := h.now[size/granule], h.other[size/granule]
	for now.lent() != 0 {
		must(t, h, size)
	}
	h.Free(must(t, h, 2*size)) // else the hands change places
	free, done := other.lent(), h.done
	b := must(t, h, size)
	require.Equal(t, 1, bits.OnesCount64(free&^other.lent()))
	require.ErrorIs(t, alloc.Try(func() { h.Free(b[16:32:32]) }), alloc.ErrInvalidFree)
	require.Equal(t, done, h.done)
	h.Free(b)
	require.Equal(t, done+1, h.done, "the block was not freed by a plain write")
	require.Equal(t, free, other.lent())
	require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)
	require.Equal(t, bits.OnesCount64(s.classFor(size).valid), s.Stats().LiveBlocks)
	require.NoError(t, s.Check())
}

// biasedHandle returns a handle of which both runs of the class are empty and all their slots biased.
func biasedHandle(t *testing.T, size int) (*Shared, *Handle) {
	t.Helper()
	if !canBias || !hasBarrier() {
		t.Skip("no slots are biased here")
	}
	s := freshSharedIn(t, 16<<20, &arena.Options{}, nil)
	h := s.Handle()
	t.Cleanup(func() { h.Close() })
	slots := s.classFor(size).numSlots()
	var live [][]byte
	for range 3 * minBiasPause { // until slots are biased
		for range 2 * slots {
			live = append(live, must(t, h, size))
		}
		for _, b := range live {
			h.Free(b)
		}
		live = live[:0]
	}
	hands := [2]*hand{h.now[size/granule], h.other[size/granule]}
	for _, hd := range hands {
		require.True(t, hd.isBiased())
	}
	require.Equal(t, slots, bits.OnesCount64(hands[1].lent()))
	return s, h
}

// numSlots returns how many slots a run of c has.
func (c *sharedClass) numSlots() int { return int(c.slots) }
