package segregated

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// TestSharedModes: a shared heap in the other modes, and its handles, keep the
// contract and know the sizes asked for.
func TestSharedModes(t *testing.T) {
	for _, o := range []Options{
		{Mode: Checked}, {Mode: Guarded, Seed: 1, Guard: GuardOptions{Every: 8, Mappings: 300}}, {ProfileRate: 1},
	} {
		t.Run(fmt.Sprintf("%v_%d", o.Mode, o.ProfileRate), func(t *testing.T) {
			claims := []alloctest.Claim{alloctest.Detects, alloctest.Bounded}
			if o.Mode != Fast {
				claims = append(claims, alloctest.KeepsRequested)
			}
			alloctest.Test(t, func(t testing.TB) alloc.Allocator {
				r, err := arena.Reserve(16<<20, nil)
				require.NoError(t, err)
				s, err := NewShared(r, &o)
				require.NoError(t, err)
				t.Cleanup(func() {
					_ = alloc.Try(func() { s.Close() })
					require.NoError(t, r.Close())
				})
				return s
			}, claims...)
		})
	}
}

func TestFaultSharedModes(t *testing.T) {
	t.Run("A26_overflow_shared", func(t *testing.T) {
		for _, way := range []string{"shared", "handle"} {
			s := freshShared(t, 8<<20, &Options{Mode: Checked})
			u := usersOf(s)[way]()
			b := must(t, u, 100)
			s.h.mem[at(s.h, b)+100] ^= 1
			damage(t, alloc.Try(func() { u.Free(b) }), alloc.ErrOverflow, b, 100)
			damage(t, s.Check(), alloc.ErrOverflow, b, 100)
			s.h.mem[at(s.h, b)+100] ^= 1
			u.Free(b)
			u.close()
		}
	})
	t.Run("A28_guarded_shared", func(t *testing.T) {
		s := freshSharedIn(t, 64<<20, &arena.Options{}, &Options{Mode: Guarded, ProfileRate: 1})
		if s.h.region.Backing() != arena.Mmap {
			t.Skip("no mappings on this system")
		}
		b := must(t, s, 100)
		require.Equal(t, 100, s.Usable(b))
		s.Free(b)
		f := damage(t, s.Try(func() { b[50] = 1 }), alloc.ErrUseAfterFree, b, 50)
		requireFrame(t, f.FreeStack, "TestFaultSharedModes")
		require.EqualValues(t, 1, s.ModeReport().GuardedTotal)
	})
	t.Run("A42_concurrent_double_free_checked", func(t *testing.T) {
		s := freshShared(t, 32<<20, &Options{Mode: Checked, Seed: 1})
		for range 200 {
			b := must(t, s, 100)
			var freed, caught atomic.Int32
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					switch err := alloc.Try(func() { s.Free(b) }); {
					case err == nil:
						freed.Add(1)
					case errors.Is(err, alloc.ErrDoubleFree):
						caught.Add(1)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 1, freed.Load())
			require.EqualValues(t, 7, caught.Load())
		}
	})
}

// TestSharedProfile: many goroutines allocate while the profile is written.
func TestSharedProfile(t *testing.T) {
	plain := freshShared(t, 8<<20, nil)
	require.ErrorIs(t, plain.WriteProfile(&bytes.Buffer{}), errors.ErrUnsupported)
	require.Equal(t, Fast, plain.ModeReport().Mode)
	require.PanicsWithValue(t, "mine", func() { plain.Try(func() { panic("mine") }) })

	s := freshShared(t, 32<<20, &Options{ProfileRate: 1})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				b, err := s.Malloc(100)
				if err == nil {
					s.Free(b)
				}
			}
		})
	}
	for range 10 {
		require.NoError(t, s.WriteProfile(&bytes.Buffer{}))
	}
	wg.Wait()
	require.Positive(t, s.ModeReport().Stacks)
}

// TestSharedSites: the stacks of blocks begin with who asked for them, whatever way the heap took.
func TestSharedSites(t *testing.T) {
	for _, m := range []Mode{Fast, Checked, Guarded} {
		s := freshSharedIn(t, 256<<20, &arena.Options{}, &Options{Mode: m, ProfileRate: 1, Guard: GuardOptions{Every: 3}})
		for way, newUser := range usersOf(s) {
			u := newUser()
			for _, size := range []int{0, 20, 700, 1500, 9000, 300_000} {
				for call, get := range map[string]func() ([]byte, error){
					"malloc": func() ([]byte, error) { return u.Malloc(size) },
					"calloc": func() ([]byte, error) { return u.Calloc(1, size) },
					"realloc": func() ([]byte, error) {
						return u.Realloc(must(t, u, 40), size+4000) // which moves
					},
					"nothing": func() ([]byte, error) { return u.Realloc(nil, size) },
				} {
					b, err := get()
					require.NoError(t, err)
					u.Free(b)
					f, ok := errors.AsType[*alloc.Fault](alloc.Try(func() { u.Free(b) }))
					require.True(t, ok, "%v %s %s %d", m, way, call, size)
					for _, stack := range [][]uintptr{f.AllocStack, f.FreeStack} {
						require.NotEmpty(t, stack, "%v %s %s %d", m, way, call, size)
						first, _ := runtime.CallersFrames(stack).Next()
						require.Contains(t, first.File, "_test.go", "%v %s %s %d: %s", m, way, call, size, first.Function)
					}
				}
			}
			u.close()
		}
	}
}
