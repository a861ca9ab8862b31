package segregated

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// freshShared returns a shared heap in a region of the Go heap, closed at the
// end of the test after a Check of what is left.
func freshShared(t testing.TB, size int, o *Options) *Shared {
	t.Helper()
	return freshSharedIn(t, size, &arena.Options{Backing: arena.GoHeap}, o)
}

func freshSharedIn(t testing.TB, size int, ro *arena.Options, o *Options) *Shared {
	t.Helper()
	r, err := arena.Reserve(size, ro)
	require.NoError(t, err)
	s, err := NewShared(r, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		if !t.Failed() && s.h.err == nil {
			require.NoError(t, s.Check())
		}
		if !s.closed.Load() {
			s.Close()
		}
		require.NoError(t, r.Close())
	})
	return s
}

// A user is what a goroutine of a test allocates by: the heap, or a handle.
type user struct {
	alloc.Allocator
	close func()
}

// usersOf lists the ways to use a shared heap.
func usersOf(s *Shared) map[string]func() user {
	return map[string]func() user{
		"shared": func() user { return user{s, func() {}} },
		"handle": func() user {
			h := s.Handle()
			return user{h, func() { h.Close() }}
		},
	}
}

// TestSharedFreeOfUntouchedMetadata: as TestFreeOfUntouchedMetadata, for Shared and its
// handles. With the invariants tag what is not committed cannot be read.
func TestSharedFreeOfUntouchedMetadata(t *testing.T) {
	s, err := NewShared(nil, nil)
	require.NoError(t, err)
	defer s.Close()
	for name, newUser := range usersOf(s) {
		u := newUser()
		kept := must(t, u, 100)
		for _, off := range []uintptr{0, 16, 8192, s.first / 2 &^ 15, s.first - 16} {
			b := s.h.mem[off:][:8:8]
			require.ErrorIs(t, alloc.Try(func() { u.Free(b) }), alloc.ErrInvalidFree, "%s %#x", name, off)
			require.ErrorIs(t, alloc.Try(func() { u.Realloc(b, 100) }), alloc.ErrInvalidFree, "%s %#x", name, off)
			require.ErrorIs(t, alloc.Try(func() { s.Usable(b) }), alloc.ErrInvalidFree, "%s %#x", name, off)
		}
		u.Free(kept)
		u.close()
	}
	require.NoError(t, s.Check())
}

// TestFaultShared holds the rows about goroutines for Shared and its handles.
func TestFaultShared(t *testing.T) {
	for _, way := range []string{"shared", "handle"} {
		t.Run("A34_close_concurrent_with_malloc/"+way, func(t *testing.T) { closeDuringMalloc(t, way) })
		t.Run("A42_concurrent_double_free/"+way, func(t *testing.T) { doubleFrees(t, way) })
		t.Run("A43_malloc_and_free_in_different_goroutines/"+way, func(t *testing.T) {
			freesElsewhere(t, way)
			handsOver(t, way)
		})
	}
}

// doubleFrees lets many goroutines free one block at once: exactly one of them
// succeeds, every time, whether or not the block's owner is among them.
func doubleFrees(t *testing.T, way string) {
	const goroutines, rounds = 8, 400
	s := freshSharedIn(t, 32<<20, &arena.Options{}, nil)
	owner := usersOf(s)[way]()
	defer owner.close()
	warm(t, owner)
	for i := range rounds {
		var around [][]byte // so that the run stays in use, or not
		for range i % 40 {
			around = append(around, must(t, owner, 1+37*i%3000))
		}
		b := must(t, owner, 1+37*i%3000)
		var good, caught atomic.Int32
		var wg, ready sync.WaitGroup
		ready.Add(goroutines)
		for g := range goroutines {
			wg.Go(func() {
				a := user{s, func() {}}
				switch {
				case g == 0:
					a.Allocator = owner // the handle's turn: nobody else uses it now
				case g%2 == 0:
					a = usersOf(s)[way]()
				}
				defer a.close()
				ready.Done()
				ready.Wait()
				switch err := alloc.Try(func() { a.Free(b) }); {
				case err == nil:
					good.Add(1)
				case errors.Is(err, alloc.ErrDoubleFree):
					caught.Add(1)
				default:
					t.Errorf("round %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, [2]int32{1, goroutines - 1}, [2]int32{good.Load(), caught.Load()}, "round %d", i)
		for _, b := range around {
			owner.Free(b)
		}
	}
	require.Zero(t, s.Stats().LiveBlocks)
	require.NoError(t, s.Check())
}

// warm makes a handle refill until its slots may be biased, and checks that the
// test is about what it says.
func warm(t *testing.T, u user) {
	t.Helper()
	h, ok := u.Allocator.(*Handle)
	if !ok || !canBias || !hasBarrier() {
		return
	}
	for range 4 * minBiasPause {
		var bs [][]byte
		for range maxRunSlots + 1 {
			bs = append(bs, must(t, h, 48))
		}
		for _, b := range bs {
			h.Free(b)
		}
	}
	require.NotZero(t, h.now[48/granule].biased(), "the handle has no biased slots")
}

// freesElsewhere lets 64 goroutines allocate and 64 others free what they are
// handed: no block is lost, none is handed out twice, the figures add up.
func freesElsewhere(t *testing.T, way string) {
	const pairs, each = 64, 300
	s := freshShared(t, 48<<20, nil)
	newUser := usersOf(s)[way]
	var wg sync.WaitGroup
	for g := range pairs {
		blocks := make(chan []byte, 8)
		wg.Go(func() {
			a := newUser()
			defer a.close()
			defer close(blocks)
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for range each {
				b, err := a.Malloc(1 + rnd.IntN(1<<rnd.IntN(13)))
				if err != nil {
					t.Error(err)
					return
				}
				for i := range b {
					b[i] = byte(g)
				}
				blocks <- b
			}
		})
		wg.Go(func() {
			a := newUser()
			defer a.close()
			for b := range blocks {
				if !bytes.Equal(b, bytes.Repeat([]byte{byte(g)}, len(b))) {
					t.Errorf("a block of goroutine %d holds another's bytes", g)
				}
				a.Free(b)
			}
		})
	}
	wg.Wait()
	st := s.Stats()
	require.Zero(t, st.LiveBlocks)
	require.Zero(t, st.Live)
	require.Equal(t, uint64(pairs*each), st.Mallocs)
	require.Equal(t, st.Mallocs, st.Frees)
	require.NoError(t, s.Check())
	require.NoError(t, s.Close())
}

// handsOver lets each goroutine free, at full speed, what another allocates: in
// batches, so that most frees meet the runs that the other one has at hand.
func handsOver(t *testing.T, way string) {
	batches := 3000
	if raceEnabled || testing.Short() {
		batches /= 10
	}
	s := freshSharedIn(t, 64<<20, &arena.Options{}, nil)
	newUser := usersOf(s)[way]
	var wg sync.WaitGroup
	for g := range 3 {
		queue := make(chan [][]byte, 1)
		wg.Go(func() {
			a := newUser()
			defer a.close()
			defer close(queue)
			rnd := rand.New(rand.NewPCG(uint64(g), 9))
			for range batches {
				batch := make([][]byte, 64)
				for i := range batch {
					b, err := a.Malloc(16 + rnd.IntN(1+g*250)) // of one class, or many
					if err != nil {
						t.Error(err)
						return
					}
					b[0], b[len(b)-1] = byte(g), byte(i)
					batch[i] = b
				}
				queue <- batch
			}
		})
		wg.Go(func() {
			a := newUser()
			defer a.close()
			for batch := range queue {
				for i, b := range batch {
					if b[0] != byte(g) || b[len(b)-1] != byte(i) {
						t.Errorf("a block of goroutine %d holds another's bytes", g)
					}
					if err := alloc.Try(func() { a.Free(b) }); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	st := s.Stats()
	require.Zero(t, st.LiveBlocks)
	require.Equal(t, uint64(3*64*batches), st.Frees)
	require.NoError(t, s.Check())
}

// closeDuringMalloc closes the heap while others use it: each call gets a block,
// which is dead, or ErrClosed.
func closeDuringMalloc(t *testing.T, way string) {
	for range 5 {
		s, err := NewShared(nil, &Options{})
		require.NoError(t, err)
		var wg sync.WaitGroup
		var begun sync.WaitGroup
		begun.Add(4)
		for g := range 4 {
			wg.Go(func() {
				a := usersOf(s)[way]()
				defer a.close()
				var last []byte
				for i := 0; ; i++ {
					if i == 100 {
						begun.Done()
					}
					b, err := a.Malloc(16 + 100*g + i%64)
					if err != nil {
						if !errors.Is(err, alloc.ErrClosed) {
							t.Error(err)
						}
						break
					}
					if last != nil {
						if err := alloc.Try(func() { a.Free(last) }); err != nil && !errors.Is(err, alloc.ErrClosed) {
							t.Error(err)
						}
					}
					last = b
				}
				if _, err := a.Malloc(5000); !errors.Is(err, alloc.ErrClosed) {
					t.Errorf("after Close: %v", err)
				}
			})
		}
		begun.Wait()
		if err := s.Close(); err != nil && !errors.Is(err, alloc.ErrLeak) {
			t.Fatal(err)
		}
		wg.Wait()
		runtime.GC() // the region goes when nobody holds the heap
	}
}
