package fit

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

func faultBudget(t *testing.T, h fullHeap) {
	var blocks [][]byte
	for {
		b, err := h.Malloc(700)
		if err != nil {
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			break
		}
		blocks = append(blocks, b)
	}
	require.Greater(t, len(blocks), 30)
	require.LessOrEqual(t, h.Stats().Committed, 64<<10)
	h.Free(blocks[len(blocks)/2])
	b, err := h.Malloc(700)
	require.NoError(t, err)
	require.Equal(t, addr(blocks[len(blocks)/2]), addr(b))
}

// faultSparse works with blocks of 2^40 bytes, of which it touches the ends.
func faultSparse(t *testing.T) {
	if intBits == 32 {
		t.Skip("no address space for it")
	}
	const huge = intBits / 64 << 40
	for _, name := range []string{"list", "address", "implicit", "tlsf"} {
		t.Run(name, func(t *testing.T) {
			r, err := arena.Reserve(huge*5, &arena.Options{Backing: arena.Sparse})
			if errors.Is(err, arena.ErrUnsupported) {
				t.Skip(err)
			}
			require.NoError(t, err)
			defer r.Close()
			h, err := openers[name](r, nil)
			require.NoError(t, err)
			blocks := mallocs(t, h, huge, 100, huge+1, 100, huge-9)
			for i, b := range blocks {
				b[0], b[len(b)-1] = byte(i), byte(i)
			}
			for i, b := range blocks {
				require.Equal(t, byte(i), b[0])
				require.Equal(t, byte(i), b[len(b)-1])
				require.GreaterOrEqual(t, h.Usable(b), len(b))
			}
			_, err = h.Malloc(huge * 3)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			require.ErrorIs(t, alloc.Try(func() { h.Free(blocks[2][huge/2:]) }), alloc.ErrInvalidFree)
			h.Free(blocks[1])
			h.Free(blocks[2])
			require.ErrorIs(t, alloc.Try(func() { h.Free(blocks[2]) }), alloc.ErrDoubleFree)
			grown, err := h.Realloc(blocks[0], huge+huge/2)
			require.NoError(t, err)
			require.Equal(t, addr(blocks[0]), addr(grown), "in place, over 2^40 bytes")
			for _, b := range [][]byte{grown, blocks[3], blocks[4]} {
				h.Free(b)
			}
			require.Len(t, h.FreeList(), 1)
		})
	}
}

// Sizes that a 32-bit int cannot hold are refused there by the compiler or by
// ErrSize; sizes near its end are refused by the heap everywhere.
func faultNarrow(t *testing.T, h fullHeap) {
	for _, n := range []int{math.MaxInt32, math.MaxInt32 - 8, math.MaxInt32 - 16, 1 << 30} {
		b, err := h.Malloc(n)
		require.ErrorIs(t, err, alloc.ErrNoMemory)
		require.Nil(t, b)
	}
	_, err := h.Calloc(math.MaxInt32, math.MaxInt32)
	require.Error(t, err)
	require.Zero(t, h.Stats().LiveBlocks)
}

func faultCounters(t *testing.T, h fullHeap) {
	fresh := h.Stats()
	o := alloctest.NewOracle(h)
	for i, op := range alloctest.RandomOps(11, alloctest.Mix{Ops: 1000, MaxSize: 3000}) {
		if err := o.Do(op); err != nil {
			require.ErrorIs(t, err, alloc.ErrNoMemory)
		}
		s := h.Stats()
		require.NoError(t, alloctest.CheckStats(s), "operation %d", i)
		require.Equal(t, o.Live(), s.LiveBlocks)
		require.Equal(t, o.Requested(), s.Requested)
	}
	require.NoError(t, o.FreeAll())
	s := h.Stats()
	s.Mallocs, s.Frees, s.Searched, s.Failed = 0, 0, 0, 0
	s.Resident, fresh.Resident = 0, 0
	require.Equal(t, fresh, s)
}

// faultFragmented: enough free bytes, but no block fits.
func faultFragmented(t *testing.T) {
	h, err := New(region(t, 64<<10, arena.GoHeap), &Options{Policy: Best})
	require.NoError(t, err)
	var blocks [][]byte
	for {
		b, err := h.Malloc(1000)
		if err != nil {
			break
		}
		blocks = append(blocks, b)
	}
	for i := 0; i < len(blocks); i += 2 {
		h.Free(blocks[i])
	}
	s := h.Stats()
	require.Greater(t, s.Retained, 20000)
	_, err = h.Malloc(5000)
	nm, ok := errors.AsType[*alloc.NoMemoryError](err)
	require.True(t, ok)
	require.Less(t, nm.LargestFree, 5000)
	require.Greater(t, s.ExternalFragmentation(), 0.9)
}

// faultMapFails: the system has no memory.
func faultMapFails(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			p := arenatest.New()
			cause := errors.New("cannot allocate memory")
			r, err := arena.Reserve(64<<20, &arena.Options{Backing: arena.File, Path: t.TempDir() + "/heap", Pager: p})
			require.NoError(t, err)
			defer r.Close()
			h, err := open(r, nil)
			require.NoError(t, err)
			b := mallocs(t, h, 1000)[0]
			before := h.Stats()
			p.FailAt(1, cause, arenatest.Allocate)
			_, err = h.Malloc(1 << 20) // more than is committed
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			require.ErrorIs(t, err, cause)
			require.NoError(t, h.Check())
			require.Equal(t, before.Live, h.Stats().Live)
			p.FailAt(0, nil)
			big, err := h.Malloc(1 << 20)
			require.NoError(t, err)
			h.Free(big)
			h.Free(b)
		})
	}
}

// faultSweep fails every system call of a workload in turn.
func faultSweep(t *testing.T) {
	for name, open := range openers {
		for _, backing := range []arena.Backing{arena.Mmap, arena.File} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				runs := arenatest.Sweep(t, nil, func(p *arenatest.Pager) error {
					os.Remove(dir + "/heap")
					r, err := arena.Reserve(16<<20, &arena.Options{Backing: backing, Path: dir + "/heap", Pager: p})
					if err != nil {
						return err
					}
					err = sweepWorkload(t, r, open)
					for range 2 { // the system may refuse once
						if cerr := r.Close(); cerr == nil {
							break
						} else {
							err = errors.Join(err, cerr)
						}
					}
					return err
				}, arenatest.Map, arenatest.Protect, arenatest.Advise, arenatest.Unmap, arenatest.Allocate, arenatest.Punch)
				require.Greater(t, runs, 1)
			})
		}
	}
}

// sweepWorkload grows and shrinks a heap, and proves it sound after each step.
func sweepWorkload(t *testing.T, r *arena.Region, open opener) error {
	h, err := open(r, &Options{Grow: 4096})
	if err != nil {
		return err
	}
	var first error
	var live [][]byte
	for _, n := range []int{100, 50000, 200000, 10, 3000, 1 << 20} {
		b, err := h.Malloc(n)
		if err != nil {
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			first = errors.Join(first, err)
		} else {
			live = append(live, b)
		}
		require.NoError(t, h.Check())
	}
	for i := range live {
		b, err := h.Realloc(live[i], len(live[i])*2)
		if err != nil {
			first = errors.Join(first, err)
		} else {
			live[i] = b
		}
		require.NoError(t, h.Check())
	}
	for _, b := range live {
		h.Free(b)
		require.NoError(t, h.Check())
	}
	require.Zero(t, h.Stats().LiveBlocks)
	return errors.Join(first, h.Close())
}

// faultDeath proves that an unrecovered fault ends the process with its message.
func faultDeath(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	for name, want := range map[string]string{
		"double":  ": block already free (0 bytes into the free block of",
		"foreign": "address not of this allocator",
		"closed":  "allocator closed",
	} {
		out, err := exec.Command(exe, "-fit.child="+name).CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		require.True(t, ok, "%s: %v: %s", name, err, out)
		require.Equal(t, 2, exit.ExitCode())
		require.Contains(t, string(out), "panic: ")
		require.Contains(t, string(out), want)
		require.False(t, strings.Contains(string(out), "SIGSEGV"))
	}
}

// runChild misuses a heap and does not recover.
func runChild(name string) {
	r, err := arena.Reserve(128<<10, &arena.Options{Backing: arena.GoHeap})
	if err != nil {
		panic(err)
	}
	h, err := New(r, nil)
	if err != nil {
		panic(err)
	}
	b, err := h.Malloc(64)
	if err != nil {
		panic(err)
	}
	switch name {
	case "double":
		h.Free(b)
		h.Free(b)
	case "foreign":
		h.Free(make([]byte, 64))
	case "closed":
		h.Close()
		h.Free(b)
	}
}
