package segregated

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
	"github.com/memlab-go/memlab/internal/invariants"
)

// at returns the offset of b in h's region, where tests write what a program
// should not.
func at(h *Heap, b []byte) int { return int(addrOf(b) - addrOf(h.mem)) }

// inModes runs f with a heap in each mode that looks for bad accesses, on both
// kinds of memory.
func inModes(t *testing.T, o Options, f func(t *testing.T, h *Heap)) {
	for _, m := range []Mode{Checked, Guarded} {
		for _, b := range []arena.Backing{arena.Mmap, arena.GoHeap} {
			t.Run(fmt.Sprintf("%v_%v", m, b), func(t *testing.T) {
				o := o
				o.Mode = m
				o.Guard.Every = max(1, o.Guard.Every)
				f(t, freshIn(t, 16<<20, &arena.Options{Backing: b}, &o))
			})
		}
	}
}

// rarely is GuardOptions.Every for a heap whose blocks are to have canaries.
const rarely = math.MaxInt32

// guardedHeap returns a heap on which every block is guarded.
func guardedHeap(t *testing.T, o Options) *Heap {
	t.Helper()
	o.Mode = Guarded
	h := freshIn(t, 64<<20, &arena.Options{}, &o)
	if h.region.Backing() != arena.Mmap {
		t.Skip("no mappings on this system")
	}
	return h
}

// damage is what a test expects of a call that meets damage.
func damage(t *testing.T, err error, want error, b []byte, byteAt int) *alloc.Fault {
	t.Helper()
	require.ErrorIs(t, err, want)
	f, ok := errors.AsType[*alloc.Fault](err)
	require.True(t, ok)
	require.Equal(t, byteAt, f.At, "%v", f)
	if f.Block != nil {
		require.Equal(t, len(b), f.Block.Size)
	}
	return f
}

func TestFaultOverflow(t *testing.T) {
	t.Run("A26_overflow", func(t *testing.T) {
		inModes(t, Options{Guard: GuardOptions{Every: rarely}}, func(t *testing.T, h *Heap) {
			for _, size := range sizesOfAllKinds() {
				for _, past := range []int{0, 1, 7} {
					for _, n := range []int{1, 8} { // bytes written
						b := must(t, h, size)
						lost := append([]byte(nil), h.mem[at(h, b)+size:][:past+n]...)
						for i := past; i < past+n && past+n <= canaryMin; i++ {
							h.mem[at(h, b)+size+i] ^= 0x55
						}
						if past+n > canaryMin {
							h.Free(b)
							continue
						}
						before := figures(h)
						damage(t, alloc.Try(func() { h.Free(b) }), alloc.ErrOverflow, b, size+past)
						damage(t, h.Check(), alloc.ErrOverflow, b, size+past)
						_, err := h.Realloc(nil, 0)
						require.NoError(t, err, "the heap goes on")
						damage(t, alloc.Try(func() { h.Realloc(b, 2*size) }), alloc.ErrOverflow, b, size+past)
						require.Equal(t, before.LiveBlocks+1, h.Stats().LiveBlocks, "the block is still live")
						copy(h.mem[at(h, b)+size:], lost)
						h.Free(b)
						require.NoError(t, h.Check())
					}
				}
			}
		})
	})
	t.Run("A26_overflow_into_the_next_record", func(t *testing.T) {
		inModes(t, Options{Guard: GuardOptions{Every: rarely}}, func(t *testing.T, h *Heap) {
			for _, size := range []int{24, 600, 5000} {
				var bs [][]byte
				for range 200 {
					bs = append(bs, must(t, h, size))
				}
				a, b := neighbours(h, bs)
				saved := append([]byte(nil), h.mem[at(h, a)+size:at(h, b)]...)
				for i := at(h, a) + size; i < at(h, b); i++ { // up to the block after it
					h.mem[i] = ^h.mem[i]
				}
				// Freeing the victim names the culprit.
				f := damage(t, alloc.Try(func() { h.Free(b) }), alloc.ErrOverflow, a, size)
				require.EqualValues(t, at(h, a), f.Block.Off)
				damage(t, alloc.Try(func() { h.Free(a) }), alloc.ErrOverflow, a, size)
				copy(h.mem[at(h, a)+size:], saved)
				for _, b := range bs {
					h.Free(b)
				}
			}
		})
	})
	t.Run("A26_guarded_overflow", func(t *testing.T) {
		h := guardedHeap(t, Options{ProfileRate: 1})
		for _, size := range []int{8, 16, 48, 4096, 5008, 100000} {
			b := must(t, h, size)
			for _, past := range []int{0, 7, 4095} {
				err := h.Try(func() { h.mem[at(h, b)+size+past] = 1 })
				f := damage(t, err, alloc.ErrOverflow, b, size+past)
				require.NotEmpty(t, f.AllocStack)
				require.ErrorContains(t, err, fmt.Sprintf("access %d bytes past the end", past))
				err = h.Try(func() { runtime.KeepAlive(h.mem[at(h, b)+size+past]) })
				damage(t, err, alloc.ErrOverflow, b, size+past)
			}
			h.Free(b)
		}
		// What the alignment leaves between block and guard is a canary.
		b := must(t, h, 13)
		h.mem[at(h, b)+13] ^= 1
		damage(t, alloc.Try(func() { h.Free(b) }), alloc.ErrOverflow, b, 13)
		h.mem[at(h, b)+13] ^= 1
		h.Free(b)
	})
	t.Run("A27_underflow", func(t *testing.T) {
		inModes(t, Options{Guard: GuardOptions{Every: rarely}}, func(t *testing.T, h *Heap) {
			for _, size := range sizesOfAllKinds() {
				b := must(t, h, size)
				for back := 1; back <= recordSize; back++ {
					h.mem[at(h, b)-back] ^= 0x55
					err := alloc.Try(func() { h.Free(b) })
					require.ErrorIs(t, err, alloc.ErrUnderflow)
					if back < sealBits/8 {
						damage(t, err, alloc.ErrUnderflow, b, -back)
					}
					require.ErrorIs(t, h.Check(), alloc.ErrUnderflow)
					require.ErrorIs(t, alloc.Try(func() { h.Realloc(b, 10) }), alloc.ErrUnderflow)
					require.ErrorIs(t, alloc.Try(func() { h.Usable(b) }), alloc.ErrUnderflow)
					h.mem[at(h, b)-back] ^= 0x55
				}
				h.Free(b)
			}
		})
	})
	t.Run("A27_guarded_underflow", func(t *testing.T) {
		h := guardedHeap(t, Options{Guard: GuardOptions{Front: true}})
		for _, size := range []int{1, 16, 5000} {
			b := must(t, h, size)
			for _, back := range []int{1, 4096} {
				damage(t, h.Try(func() { h.mem[at(h, b)-back] = 1 }), alloc.ErrUnderflow, b, -back)
			}
			h.mem[at(h, b)+size] ^= 1 // past it is a canary
			damage(t, alloc.Try(func() { h.Free(b) }), alloc.ErrOverflow, b, size)
			h.mem[at(h, b)+size] ^= 1
			h.Free(b)
		}
		back := guardedHeap(t, Options{})
		b := must(t, back, 100)
		back.mem[at(back, b)-1] ^= 1
		damage(t, alloc.Try(func() { back.Free(b) }), alloc.ErrUnderflow, b, -1)
		back.mem[at(back, b)-1] ^= 1
		back.Free(b)
	})
	t.Run("A01_guarded_malloc_zero", func(t *testing.T) {
		h := guardedHeap(t, Options{})
		b := must(t, h, 0)
		damage(t, h.Try(func() { h.mem[at(h, b)] = 1 }), alloc.ErrOverflow, b, 0)
		h.Free(b)
	})
}

// neighbours returns two of the blocks, the second right behind the first.
func neighbours(h *Heap, bs [][]byte) (a, b []byte) {
	for _, a := range bs {
		end := at(h, a) - recordSize + h.usable(uint64(at(h, a)-recordSize))
		for _, b := range bs {
			if at(h, b)-recordSize == end {
				return a, b
			}
		}
	}
	panic("no block has a neighbour")
}

func TestFaultAfterFree(t *testing.T) {
	t.Run("A12_quarantine", func(t *testing.T) {
		inModes(t, Options{Guard: GuardOptions{Every: rarely}, ProfileRate: 1}, func(t *testing.T, h *Heap) {
			for _, size := range sizesOfAllKinds()[:8] {
				b := must(t, h, size)
				h.Free(b)
				for range 20 { // the address is not handed out again while the quarantine has room
					c := must(t, h, size)
					require.NotEqual(t, addrOf(b), addrOf(c))
					h.Free(c)
				}
				err := alloc.Try(func() { h.Free(b) })
				require.ErrorIs(t, err, alloc.ErrDoubleFree)
				f, _ := errors.AsType[*alloc.Fault](err)
				requireFrame(t, f.AllocStack, "A12_quarantine", "TestFaultAfterFree", "must")
				requireFrame(t, f.FreeStack, "TestFaultAfterFree")
			}
		})
	})
	t.Run("A12_guarded", func(t *testing.T) {
		h := guardedHeap(t, Options{})
		b := must(t, h, 40)
		h.Free(b)
		for range 2000 {
			c := must(t, h, 40)
			require.NotEqual(t, addrOf(b), addrOf(c))
			h.Free(c)
			require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)
		}
	})
	t.Run("A24_moves", func(t *testing.T) {
		inModes(t, Options{}, func(t *testing.T, h *Heap) {
			for _, size := range []int{1, 16, 500, 2500, 5000, 200000} {
				b := must(t, h, size)
				after := must(t, h, 16)
				fill(b, 9)
				c, err := h.Realloc(b, 4*size+1000)
				require.NoError(t, err)
				require.NoError(t, filled(c[:size], 9))
				require.NoError(t, filled(c[size:], freshByte), "the new tail is poisoned")
				if addrOf(c) != addrOf(b) {
					require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)
				}
				d, err := h.Realloc(c, size/2+1)
				require.NoError(t, err)
				require.NoError(t, filled(d[:size/2+1], 9))
				h.Free(d)
				h.Free(after)
				require.NoError(t, h.Check())
			}
		})
	})
	t.Run("A28_write_after_free", func(t *testing.T) {
		inModes(t, Options{Guard: GuardOptions{Every: rarely}, Quarantine: 1 << 16}, func(t *testing.T, h *Heap) {
			for _, size := range []int{1, 16, 200, 3000, 20000} {
				b, keep := must(t, h, size), must(t, h, size)
				h.Free(b)
				byteAt := size / 2
				h.mem[at(h, b)+byteAt] ^= 0x11
				damage(t, h.Check(), alloc.ErrWriteAfterFree, b, byteAt)
				// The call that would let it out of the quarantine meets it, once.
				met := 0
				for range 2000 {
					c := must(t, h, 1000)
					if err := alloc.Try(func() { h.Free(c) }); err != nil {
						damage(t, err, alloc.ErrWriteAfterFree, b, byteAt)
						h.Free(c) // nothing had changed
						met++
					}
				}
				require.Equal(t, 1, met)
				require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)
				h.mem[at(h, b)+byteAt] ^= 0x11 // for the Check at the end
				h.Free(keep)
			}
			require.Equal(t, 5, h.ModeReport().Condemned)
		})
	})
	t.Run("A28_found_on_reuse", func(t *testing.T) {
		inModes(t, Options{Guard: GuardOptions{Every: rarely}, Quarantine: -1}, func(t *testing.T, h *Heap) {
			b, keep := must(t, h, 3000), must(t, h, 3000)
			h.Free(b)
			off := at(h, b) + 1500
			h.mem[off] ^= 0x11
			require.ErrorIs(t, h.Check(), alloc.ErrWriteAfterFree)
			met := 0
			for range 20 {
				c, err := h.Malloc(3000)
				if err != nil {
					f := damage(t, err, alloc.ErrWriteAfterFree, nil, 0)
					require.EqualValues(t, off, f.Off)
					met++
					continue
				}
				defer h.Free(c)
			}
			require.Equal(t, 1, met)
			h.mem[off] ^= 0x11
			h.Free(keep)
		})
	})
	t.Run("A28_guarded_write", func(t *testing.T) { guardedAfterFree(t, func(h *Heap, off int) { h.mem[off] = 1 }) })
	t.Run("A29_read_after_free", func(t *testing.T) {
		if invariants.Enabled {
			t.Skip("pages that were given back fault in this build")
		}
		for _, zero := range []bool{false, true} {
			inModes(t, Options{Guard: GuardOptions{Every: rarely}, ZeroOnFree: zero, Quarantine: -1}, func(t *testing.T, h *Heap) {
				want := byte(freedByte)
				if zero {
					want = 0
				}
				for _, size := range []int{16, 200, 3000, 20000, 2 << 20} {
					b, keep := must(t, h, size), must(t, h, size)
					fill(b, 0x53) // a secret
					h.Free(b)
					for i := range b {
						if x := h.mem[at(h, b)+i]; x != want && x != 0 && i >= 16 { // the core's links may be there
							t.Fatalf("byte %d of %d is %#x", i, size, x)
						} else if x == 0x53 {
							t.Fatalf("byte %d of %d is the secret", i, size)
						}
					}
					h.Free(keep)
				}
			})
		}
	})
	t.Run("A29_guarded_read", func(t *testing.T) { guardedAfterFree(t, func(h *Heap, off int) { runtime.KeepAlive(h.mem[off]) }) })
}

// guardedAfterFree touches guarded blocks that were freed.
func guardedAfterFree(t *testing.T, touch func(h *Heap, off int)) {
	h := guardedHeap(t, Options{ProfileRate: 1})
	for _, size := range []int{1, 16, 4096, 5000, 100000} {
		b := must(t, h, size)
		fill(b, 1)
		h.Free(b)
		for _, i := range []int{0, size / 2, size - 1} {
			f := damage(t, h.Try(func() { touch(h, at(h, b)+i) }), alloc.ErrUseAfterFree, b, i)
			require.NotEmpty(t, f.AllocStack)
			require.NotEmpty(t, f.FreeStack)
		}
	}
	require.PanicsWithValue(t, "the user's own", func() { h.Try(func() { panic("the user's own") }) })
}

// requireFrame fails the test unless a frame of the stack is in a function
// whose name has one of the parts.
func requireFrame(t *testing.T, stack []uintptr, parts ...string) {
	t.Helper()
	require.NotEmpty(t, stack)
	var names []string
	for frames, more := runtime.CallersFrames(stack), true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		names = append(names, f.Function)
	}
	for _, part := range parts {
		if strings.Contains(strings.Join(names, "\n"), part) {
			return
		}
	}
	t.Fatalf("no frame of %v in %v", parts, names)
}

func TestFaultClosed(t *testing.T) {
	t.Run("A33_view_after_close", func(t *testing.T) {
		for _, m := range []Mode{Checked, Guarded} {
			h, err := New(nil, &Options{Mode: m, Guard: GuardOptions{Every: 3}})
			require.NoError(t, err)
			if h.region.Backing() != arena.Mmap {
				t.Skip("no mappings on this system")
			}
			var bs [][]byte
			for _, size := range sizesOfAllKinds() {
				bs = append(bs, must(t, h, size), must(t, h, size))
			}
			var leak *alloc.LeakError
			require.ErrorAs(t, h.Close(), &leak)
			require.Equal(t, len(bs), leak.Blocks)
			for _, b := range bs {
				require.ErrorIs(t, h.Try(func() { b[0] = 1 }), alloc.ErrClosed)
				require.ErrorIs(t, h.Try(func() { runtime.KeepAlive(b[len(b)-1]) }), alloc.ErrClosed)
				require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrClosed)
			}
		}
	})
	t.Run("A33_without_try", func(t *testing.T) {
		if !haveChildren {
			t.Skip("no death tests on this system")
		}
		out, err := exec.Command(os.Args[0], "-segregated.child=afterclose").CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "unexpected fault address")
	})
	t.Run("A35_damage_at_close", func(t *testing.T) {
		h, err := New(nil, &Options{Mode: Checked, ProfileRate: 1})
		require.NoError(t, err)
		b, c := must(t, h, 100), must(t, h, 100)
		h.mem[at(h, b)+100] ^= 1
		h.Free(c)
		h.mem[at(h, c)+5] ^= 1
		err = h.Close()
		require.ErrorIs(t, err, alloc.ErrLeak)
		require.ErrorIs(t, err, alloc.ErrOverflow)
		require.ErrorIs(t, err, alloc.ErrWriteAfterFree)
		var leak *alloc.LeakError
		require.ErrorAs(t, err, &leak)
		require.Len(t, leak.Sites, 1)
		require.Equal(t, 1, leak.Sites[0].Blocks)
		require.Equal(t, 100, leak.Sites[0].Bytes)
		requireFrame(t, leak.Sites[0].Stack, "TestFaultClosed", "must")
	})
}

func TestFaultMaps(t *testing.T) {
	t.Run("A40_map_limit", func(t *testing.T) {
		out, err := exec.Command(os.Args[0], "-segregated.child=maps").CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
	t.Run("A40_budget", func(t *testing.T) {
		h := guardedHeap(t, Options{Guard: GuardOptions{Mappings: 50}})
		var bs [][]byte
		for range 1000 {
			bs = append(bs, must(t, h, 100))
			require.LessOrEqual(t, h.region.Stats().Mappings, 50)
		}
		r := h.ModeReport()
		require.Positive(t, r.GuardedLive)
		require.EqualValues(t, 1000, r.GuardedTotal+r.GuardFallbacks)
		require.Equal(t, int(r.GuardedTotal), r.GuardedLive)
		last := bs[len(bs)-1] // has a canary
		h.mem[at(h, last)+100] ^= 1
		damage(t, alloc.Try(func() { h.Free(last) }), alloc.ErrOverflow, last, 100)
		h.mem[at(h, last)+100] ^= 1
		for _, b := range bs {
			h.Free(b)
		}
		must(t, h, 10)
		require.Equal(t, 1, h.ModeReport().GuardedLive, "what was freed makes room")
	})
	t.Run("A39_kth_failure_in_modes", func(t *testing.T) {
		for _, o := range []Options{
			{Mode: Checked}, {Mode: Guarded, Seed: 5, Guard: GuardOptions{Every: 16}},
		} {
			runs := arenatest.Sweep(t, arenatest.ErrInjected, func(p *arenatest.Pager) error {
				r, err := arena.Reserve(16<<20, &arena.Options{Pager: p})
				if err != nil {
					return err
				}
				h, err := New(r, &o)
				if err == nil {
					err = alloctest.Run(h, alloctest.RandomOps(3, alloctest.Mix{Ops: 400, MaxSize: 100000}), 0)
					h.Trim()
					if cerr := h.Check(); cerr != nil {
						t.Fatalf("after %v: %v", err, cerr)
					}
					h.Close()
				}
				for r.Close() != nil { // the failure may be of the unmapping
				}
				return err
			})
			require.Positive(t, runs)
		}
	})
	t.Run("A47_sparse_checked", func(t *testing.T) { sparse(t, &Options{Mode: Checked}) })
}

// TestModeSampling: one in so many, the same ones for the same seed.
func TestModeSampling(t *testing.T) {
	which := func(seed uint64) (guarded []int) {
		h := guardedHeap(t, Options{Seed: seed, Guard: GuardOptions{Every: 10}})
		for i := range 2000 {
			b := must(t, h, 50)
			if h.chk.guards.covers(uint64(at(h, b))) {
				guarded = append(guarded, i)
			}
			h.Free(b)
		}
		require.Equal(t, seed, h.ModeReport().Seed)
		return guarded
	}
	a := which(1)
	require.InDelta(t, 200, len(a), 60)
	require.Equal(t, a, which(1))
	require.NotEqual(t, a, which(2))
}

// TestModeAddressSpace: when the addresses run out, those of guarded blocks that
// were freed first are used again.
func TestModeAddressSpace(t *testing.T) {
	h := freshIn(t, 1<<20, &arena.Options{}, &Options{Mode: Guarded})
	if h.region.Backing() != arena.Mmap {
		t.Skip("no mappings on this system")
	}
	for range 1000 {
		h.Free(must(t, h, 100))
	}
	r := h.ModeReport()
	require.EqualValues(t, 1000, r.GuardedTotal+r.GuardFallbacks)
	require.Positive(t, r.GuardReused)
	require.NoError(t, h.Check())
}

// TestModeStats: figures are exact, and everything freed leaves nothing live.
func TestModeStats(t *testing.T) {
	inModes(t, Options{Guard: GuardOptions{Every: 3}, Seed: 3}, func(t *testing.T, h *Heap) {
		rng := rand.New(rand.NewPCG(1, 2))
		var bs [][]byte
		want := 0
		for range 3000 {
			if len(bs) > 0 && rng.IntN(2) == 0 {
				i := rng.IntN(len(bs))
				want -= len(bs[i])
				h.Free(bs[i])
				bs[i] = bs[len(bs)-1]
				bs = bs[:len(bs)-1]
				continue
			}
			b := must(t, h, rng.IntN(3000))
			want += len(b)
			bs = append(bs, b)
		}
		s := h.Stats()
		require.Equal(t, want, s.Requested)
		require.Equal(t, len(bs), s.LiveBlocks)
		require.NoError(t, alloctest.CheckStats(s))
		sum := 0
		for b := range h.Blocks() {
			if b.Used {
				sum += b.Size
			}
		}
		require.Equal(t, want, sum)
		for _, b := range bs {
			h.Free(b)
		}
		s = h.Stats()
		require.Zero(t, s.Live)
		require.Zero(t, s.Requested)
		require.Positive(t, s.Quarantined)
		require.NoError(t, alloctest.CheckStats(s))
	})
}

// TestModeFallsBack: where no page can be protected, and in a file, every block
// has a canary instead, and is counted.
func TestModeFallsBack(t *testing.T) {
	for _, name := range []string{"goheap", "file"} {
		r, err := arena.Reserve(4<<20, backings(t)[name])
		if errors.Is(err, arena.ErrUnsupported) {
			continue
		}
		require.NoError(t, err)
		h, err := New(r, &Options{Mode: Guarded})
		require.NoError(t, err)
		b := must(t, h, 100)
		report := h.ModeReport()
		require.EqualValues(t, 1, report.GuardFallbacks)
		require.Zero(t, report.GuardedTotal)
		h.mem[at(h, b)+100] ^= 1
		damage(t, alloc.Try(func() { h.Free(b) }), alloc.ErrOverflow, b, 100)
		h.mem[at(h, b)+100] ^= 1
		h.Free(b)
		require.NoError(t, h.Close())
		require.NoError(t, r.Close())
	}
}
