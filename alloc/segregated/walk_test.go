package segregated

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// verbs are all calls that would change a heap, on its live block b, and what
// each of them says.
func verbs(h *Heap, b []byte) map[string]func() error {
	return map[string]func() error{
		"malloc":           func() error { _, err := h.Malloc(10); return err },
		"malloc large":     func() error { _, err := h.Malloc(100_000); return err },
		"malloc zero":      func() error { _, err := h.Malloc(0); return err },
		"calloc":           func() error { _, err := h.Calloc(3, 10); return err },
		"aligned":          func() error { _, err := h.MallocAligned(10, 256); return err },
		"realloc":          func() error { _, err := h.Realloc(b, 200); return err },
		"realloc nil":      func() error { _, err := h.Realloc(nil, 200); return err },
		"realloc zero":     func() error { _, err := h.Realloc(b, 0); return err },
		"realloc in place": func() error { _, err := h.Realloc(b, len(b)); return err },
		"realloc aligned":  func() error { _, err := h.ReallocAligned(b, 200, 256); return err },
		"free":             func() error { return alloc.Try(func() { h.Free(b) }) },
		"compact": func() error {
			_, err := h.Compact(1, func(from, to []byte) bool { return false })
			return err
		},
		"root":   func() error { return alloc.Try(func() { h.SetRoot(b) }) },
		"usable": func() error { return alloc.Try(func() { h.Usable(b) }) },
	}
}

// TestBusy: inside a loop over Blocks nothing changes the heap, each call is
// refused with ErrBusy, and after the loop each works.
func TestBusy(t *testing.T) {
	for _, size := range []int{40, 700, 5000, 100_000} {
		h := fresh(t, 4<<20, nil)
		b := must(t, h, size)
		fill(b, 0x42)
		before := figures(h)
		n := 0
		for range h.Blocks() {
			for name, call := range verbs(h, b) {
				require.ErrorIs(t, call(), alloc.ErrBusy, name)
			}
			require.Zero(t, h.Trim())
			require.NoError(t, h.Check()) // reading is fine
			at, err := h.At(h.Offset(b))
			require.NoError(t, err)
			require.Equal(t, addrOf(b), addrOf(at))
			n++
		}
		require.Positive(t, n)
		require.NoError(t, filled(b, 0x42))
		after := figures(h)
		require.Equal(t, before, after)
		for name, call := range verbs(h, b) {
			if name != "free" && name != "realloc" && name != "realloc zero" && name != "realloc aligned" {
				require.NoError(t, call(), name)
			}
		}
		h.Free(b)
	}
}

// TestWalksNest: a heap is busy until the last of several walks is over, in
// whichever way they end.
func TestWalksNest(t *testing.T) {
	h := fresh(t, 4<<20, nil)
	for range 5 {
		must(t, h, 100)
	}
	busy := func() bool { _, err := h.Malloc(10); return errors.Is(err, alloc.ErrBusy) }
	for range h.Blocks() {
		for range h.Blocks() {
			break
		}
		require.True(t, busy(), "the inner walk has ended, the outer has not")
		require.Panics(t, func() {
			for range h.Blocks() {
				panic("user")
			}
		})
		require.True(t, busy())
	}
	require.False(t, busy())
	next1, stop1 := iter.Pull(h.Blocks())
	next2, stop2 := iter.Pull(h.Blocks())
	a, ok := next1()
	require.True(t, ok)
	b, ok := next2()
	require.True(t, ok)
	require.Equal(t, a, b)
	stop1()
	require.True(t, busy())
	stop2()
	require.False(t, busy())
	func() {
		for range h.Blocks() {
			return
		}
	}()
	require.False(t, busy())
}

// TestBlocksTile: without classes the blocks cover the data without a gap, and
// with them in order and without overlap; the live ones are those that the
// program has.
func TestBlocksTile(t *testing.T) {
	for _, classes := range [][]int{nil, {}} {
		h := fresh(t, 8<<20, &Options{Classes: classes})
		o := alloctest.NewOracle(h)
		for i, op := range alloctest.RandomOps(31, alloctest.Mix{Ops: 2000, MaxSize: 9000}) {
			require.NoError(t, o.Do(op))
			if i%20 != 0 {
				continue
			}
			end, live, free := arena.Offset(h.hdr.first<<granuleShift), 0, 0
			for b := range h.Blocks() {
				require.GreaterOrEqual(t, b.Off, end)
				require.Positive(t, b.Size)
				require.Zero(t, b.Size%min(b.Size, 16))
				require.Zero(t, int(b.Off)%min(b.Size, 16))
				if classes != nil {
					require.Equal(t, end, b.Off)
				}
				if end = b.Off + arena.Offset(b.Size); b.Used {
					live++
				} else {
					free++
				}
			}
			require.LessOrEqual(t, uint64(end), h.hdr.top<<granuleShift)
			s := h.Stats()
			require.Equal(t, o.Live(), live)
			require.Equal(t, s.LiveBlocks, live)
			require.Equal(t, s.FreeBlocks, free)
		}
		require.NoError(t, o.FreeAll())
	}
}

// TestReadingChangesNothing: Check and Stats between any two calls leave every
// later block where it would have been.
func TestReadingChangesNothing(t *testing.T) {
	ops := alloctest.RandomOps(41, alloctest.Mix{Ops: 1500, MaxSize: 6000})
	run := func(read bool) (at []uintptr) {
		h := fresh(t, 8<<20, nil)
		o := alloctest.NewOracle(h)
		for _, op := range ops {
			op.Align = 0 // where a far aligned block is depends on the address
			require.NoError(t, o.Do(op))
			if b := o.Block(op.ID); b != nil {
				at = append(at, addrOf(b)-addrOf(h.mem))
			}
			if read {
				require.NoError(t, h.Check())
				h.Stats()
			}
		}
		return at
	}
	require.Equal(t, run(false), run(true))
}

// TestFaultRegion holds the rows about the region's and the program's life.
func TestFaultRegion(t *testing.T) {
	t.Run("A36_dropped", func(t *testing.T) {
		leaks := make(chan arena.Stats, 1)
		func() {
			r, err := arena.Reserve(1<<20, &arena.Options{OnLeak: func(s arena.Stats) { leaks <- s }})
			require.NoError(t, err)
			h, err := New(r, nil)
			require.NoError(t, err)
			must(t, h, 5000)
			for range 3 { // while the heap is in use, so is its region
				runtime.GC()
				time.Sleep(time.Millisecond)
			}
			require.Empty(t, leaks)
			runtime.KeepAlive(h)
		}()
		deadline := time.After(20 * time.Second)
		for {
			runtime.GC()
			select {
			case s := <-leaks:
				require.Equal(t, 1<<20, s.Reserved)
				return
			case <-deadline:
				t.Fatal("nobody said that the region was dropped")
			case <-time.After(time.Millisecond):
			}
		}
	})
	t.Run("A46_pointers", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		keep := must(t, h, 40)
		before := figures(h)
		refused := func(field string, f func()) {
			t.Helper()
			err := alloc.Try(f)
			require.ErrorIs(t, err, alloc.ErrPointers)
			require.ErrorContains(t, err, field)
			require.Equal(t, before, figures(h))
		}
		type inner struct{ Name string }
		refused("next", func() { alloc.New[struct{ next *int }](h) })
		refused("in.Name", func() { alloc.New[struct{ in inner }](h) })
		refused("", func() { alloc.New[map[int]int](h) })
		refused("", func() { alloc.Make[func()](h, 1) })
		refused("ch", func() { alloc.Make[struct{ ch chan int }](h, 1) })
		refused("", func() { alloc.New[[3]any](h) })
		type point struct{ x, y int64 }
		p, err := alloc.New[point](h)
		require.NoError(t, err)
		require.Zero(t, *p)
		s, err := alloc.Make[point](h, 100)
		require.NoError(t, err)
		s[2] = point{1, 2}
		require.Equal(t, before.LiveBlocks+2, h.Stats().LiveBlocks)
		alloc.Delete(h, p)
		h.Free(keep)
	})
	t.Run("A50_fork_is_documented", func(t *testing.T) {
		f, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
		require.NoError(t, err)
		require.Contains(t, packageComment(f), "a child process that is made by fork and exec inherits none of it")
	})
}

// packageComment is the text of f's package comment.
func packageComment(f *ast.File) string {
	text := ""
	for _, w := range f.Doc.Text() {
		if w == '\n' {
			w = ' '
		}
		text += string(w)
	}
	return text
}

// TestCloseInLoop: Close ends the loops that it is called in.
func TestCloseInLoop(t *testing.T) {
	for _, mode := range []Mode{Fast, Checked, Guarded} {
		h := fresh(t, 16<<20, &Options{Mode: mode})
		for i := range 3000 {
			must(t, h, 16+i%500)
		}
		n := 0
		for range h.Blocks() {
			for range h.Blocks() {
				if n++; n == 2000 {
					require.ErrorContains(t, h.Close(), "3000")
				}
			}
		}
		require.Equal(t, 2000, n)
		_, err := h.Malloc(1)
		require.ErrorIs(t, err, alloc.ErrClosed)
	}
}
