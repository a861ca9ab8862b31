package arena_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
	"github.com/memlab-go/memlab/internal/invariants"
)

// childCase names what a copy of this test binary should do instead of testing.
var childCase = flag.String("arena.child", "", "run this case of a fault test and exit")

func TestMain(m *testing.M) {
	flag.Parse()
	if *childCase != "" {
		if err := runChild(*childCase); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child runs a case in a copy of the test binary and returns its output.
func child(t *testing.T, name string) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	out, err := exec.Command(exe, "-arena.child="+name).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// TestFault holds the rows of the fault table that concern regions; those of
// the allocators on top are held by theirs.
func TestFault(t *testing.T) {
	t.Run("A32_methods_after_close", func(t *testing.T) {
		c, err := arena.NewConcurrent(1<<16, nil)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		_, _, err = c.Alloc(8, 8)
		require.ErrorIs(t, err, arena.ErrClosed)
		require.Nil(t, c.Bytes())
		require.NoError(t, c.Trim())
		require.NoError(t, c.Check())
		// Regions and arenas: TestClose and TestArenaAlloc, on every backing.
	})
	t.Run("A34_close_unmaps_only_its_own", faultCloseUnmapsItsOwn)
	t.Run("A36_dropped_without_close", faultDropped)
	t.Run("A38_mmap_fails", faultMmapFails)
	t.Run("A39_kth_failure_sweep", faultSweep)
	t.Run("A46_pointers", func(t *testing.T) {
		var a arena.Arena
		for _, f := range []func(){
			func() { _, _ = arena.New[string](&a) },
			func() { _, _ = arena.New[[]byte](&a) },
			func() { _, _ = arena.New[map[int]int](&a) },
			func() { _, _ = arena.New[any](&a) },
			func() { _, _ = arena.New[chan int](&a) },
			func() { _, _ = arena.New[func()](&a) },
			func() { _, _ = arena.MakeSlice[struct{ next *point }](&a, 1, 1) },
		} {
			err := panicOf(f)
			require.ErrorIs(t, err, arena.ErrPointers)
			require.ErrorContains(t, err, "has a pointer")
		}
		require.Zero(t, a.Stats(), "nothing is allocated")
	})
	t.Run("A47_huge_trace_sparse", faultSparse)
	t.Run("A48_sizes_over_2gib", faultSizes)
	t.Run("A49_counters", faultCounters)
	t.Run("A50_private_across_exec", faultExec)
}

// faultCloseUnmapsItsOwn closes a region between two others and twice.
func faultCloseUnmapsItsOwn(t *testing.T) {
	needMappings(t)
	p := arenatest.New()
	var rs [3]*arena.Region
	for i := range rs {
		rs[i] = reserve(t, 1<<20, &arena.Options{Pager: p, Guard: i == 1})
		require.NoError(t, rs[i].Commit(0, 4096))
		rs[i].Bytes()[0] = byte(i)
	}
	require.NoError(t, rs[1].Close())
	if !invariants.Enabled {
		require.NoError(t, rs[1].Close())
	}
	require.Equal(t, byte(0), rs[0].Bytes()[0])
	require.Equal(t, byte(2), rs[2].Bytes()[0])
	require.Equal(t, 1, p.Count(arenatest.Unmap))
	n, _ := p.Held()
	require.Equal(t, 2, n)
}

// faultDropped drops a region without closing it: the leak is reported and the
// memory stays, since a view of it is alive.
func faultDropped(t *testing.T) {
	needMappings(t)
	p := arenatest.New()
	leaks := make(chan arena.Stats, 1)
	view := func() []byte {
		r, err := arena.Reserve(1<<20, &arena.Options{Pager: p, OnLeak: func(s arena.Stats) { leaks <- s }})
		require.NoError(t, err)
		require.NoError(t, r.Commit(0, 4*r.PageSize()))
		return r.Bytes()[:1]
	}()
	deadline := time.After(20 * time.Second)
	for {
		runtime.GC()
		select {
		case s := <-leaks:
			require.Equal(t, 4*pageSizeOf(), s.Committed)
			view[0] = 1
			n, _ := p.Held()
			require.Equal(t, 1, n)
			return
		case <-deadline:
			t.Fatal("no report")
		case <-time.After(time.Millisecond):
		}
	}
}

// faultMmapFails makes the system refuse: by injection, and for real in a
// process with little address space.
func faultMmapFails(t *testing.T) {
	needMappings(t)
	p := arenatest.New()
	p.FailAt(1, syscall.ENOMEM, arenatest.Map)
	_, err := arena.Reserve(1<<20, &arena.Options{Pager: p, Backing: arena.Sparse})
	if math.MaxInt > math.MaxInt32 {
		require.ErrorIs(t, err, syscall.ENOMEM)
	}
	require.ErrorIs(t, err, arena.ErrUnsupported, "Sparse where the system refuses")
	require.NoError(t, p.Check())

	p.FailAt(1, syscall.ENOMEM, arenatest.Map)
	a := arena.NewArena(&arena.Options{Pager: p})
	_, err = a.Alloc(8, 8)
	if err == nil {
		// The region has tried bare address space instead, which was granted.
		require.Equal(t, 1, a.Stats().Chunks)
	}
	require.NoError(t, a.Close())
	require.NoError(t, p.Check())
	if runtime.GOOS == "linux" && math.MaxInt > math.MaxInt32 {
		require.Contains(t, child(t, "rlimit"), "survived")
	}
}

// faultSweep fails every system call of workloads over all parts, in turn.
func faultSweep(t *testing.T) {
	needMappings(t)
	runs := arenatest.Sweep(t, syscall.ENOMEM, sweepRegion)
	require.Positive(t, runs)
	runs = arenatest.Sweep(t, syscall.ENOMEM, sweepArena)
	require.Positive(t, runs)
	if _, ok := backings(t)["file"]; ok {
		dir := t.TempDir()
		n := 0
		runs = arenatest.Sweep(t, syscall.ENOSPC, func(p *arenatest.Pager) error {
			n++
			return sweepFile(p, filepath.Join(dir, fmt.Sprint(n)))
		})
		require.GreaterOrEqual(t, runs, 8)
	}
}

// closeSurely closes c, again if a failure was injected into the first try.
func closeSurely(c interface{ Close() error }) error {
	if c.Close() == nil {
		return nil
	}
	return c.Close()
}

// sweepRegion is a workload over one region: whatever fails, the bytes that
// were written before are there after.
func sweepRegion(p *arenatest.Pager) (err error) {
	r, err := arena.Reserve(1<<20, &arena.Options{Pager: p, Guard: true})
	if err != nil {
		return err
	}
	page := r.PageSize()
	defer func() {
		err = errors.Join(err, r.Check(), closeSurely(r))
	}()
	step := func(f func() error) {
		before := r.Stats().Committed
		if e := f(); e != nil {
			err = e
			if r.Stats().Committed != before {
				err = fmt.Errorf("failed and changed the count: %w", e)
			}
		}
	}
	step(func() error { return r.Commit(0, 8*page) })
	if r.Stats().Committed == 0 {
		return err
	}
	mem := r.Bytes()
	mem[7*page] = 77
	step(func() error { return r.Protect(0, page, arena.ProtNone) })
	step(func() error { return r.Decommit(0, 4*page) })
	step(func() error { return r.Commit(0, 4*page) })
	step(func() error { return r.Decommit(0, 6*page) })
	step(func() error { return r.Move(arena.Offset(20*page), arena.Offset(6*page), 2*page) })
	moved := mem[7*page:]
	if r.Stats().Moved+r.Stats().Copied > 0 {
		moved = mem[21*page:]
	}
	if moved[0] != 77 {
		return fmt.Errorf("the byte is lost")
	}
	return err
}

// sweepArena is a workload over an arena that grows, shrinks and grows.
func sweepArena(p *arenatest.Pager) (err error) {
	a := arena.NewArena(&arena.Options{Pager: p})
	defer func() {
		for a.Stats().Chunks > 0 {
			_ = a.Close()
		}
		if !invariants.Enabled {
			_ = a.Close()
		}
	}()
	alloc := func(n int) error {
		for range n {
			b, e := a.Alloc(200_000, 16)
			if e == nil && !isFilledWith(b[:100], 0) {
				e = errors.New("not zero")
			}
			if e == nil {
				b[0] = 1
			}
			err = errors.Join(err, e, a.Check())
		}
		return err
	}
	_ = alloc(4)
	m := a.Mark()
	_ = alloc(20)
	err = errors.Join(err, a.Release(m), a.Trim(), a.Check())
	_ = alloc(20)
	return err
}

// sweepFile is a workload over a file: what was written before the failure is
// there when it is opened again.
func sweepFile(p *arenatest.Pager, path string) (err error) {
	o := &arena.Options{Backing: arena.File, Path: path, Pager: p}
	r, err := arena.Reserve(1<<20, o)
	if err != nil {
		return err
	}
	page := r.PageSize()
	e1 := r.Commit(0, 4*page)
	if e1 == nil {
		r.Bytes()[0], r.Bytes()[3*page] = 5, 6
	}
	e2 := r.Decommit(arena.Offset(2*page), 2*page)
	e3 := r.Commit(arena.Offset(8*page), page)
	e4 := r.Sync()
	err = errors.Join(e1, e2, e3, e4, r.Check(), closeSurely(r))

	r, openErr := arena.Reserve(1<<20, &arena.Options{Backing: arena.File, Path: path})
	if openErr != nil {
		return openErr
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if e1 == nil && (r.Bytes()[0] != 5 || e2 == nil && r.Bytes()[3*page] != 0 || e2 != nil && r.Bytes()[3*page] != 6) {
		return errors.New("the file does not hold what was written")
	}
	return err
}

// faultSparse does the bookkeeping of a heap of 2^46 bytes and touches a few
// pages at its far end.
func faultSparse(t *testing.T) {
	if _, ok := backings(t)["sparse"]; !ok {
		t.Skip("no such address space on this system")
	}
	r := reserve(t, 0, &arena.Options{Backing: arena.Sparse})
	require.Greater(t, uint64(r.Size()), uint64(1)<<40)
	end := arena.Offset(r.Size())
	last := end - arena.Offset(r.PageSize())
	require.NoError(t, r.Commit(last, r.PageSize()))
	r.Bytes()[end-1] = 0x5A
	off, ok := r.OffsetOf(r.Bytes()[end-1:])
	require.True(t, ok)
	require.Equal(t, end-1, off)
	half := 1 << (bits.UintSize - 25) // 2^39
	require.NoError(t, r.Commit(1<<30, half))
	require.Equal(t, half+r.PageSize(), r.Stats().Committed)
	r.Bytes()[1<<30+half-1] = 1
	require.NoError(t, r.Decommit(1<<30, half))
	require.Equal(t, r.PageSize(), r.Stats().Committed)
	require.Equal(t, byte(0x5A), r.Bytes()[end-1])
	require.ErrorIs(t, r.Commit(last, r.PageSize()+1), arena.ErrRange)

	a := arena.ArenaIn(r)
	_, err := a.Alloc(half/2, 1<<30)
	require.NoError(t, err)
	b, err := a.Alloc(100, 8)
	require.NoError(t, err)
	b[99] = 1
	require.NoError(t, a.Check())
	require.NoError(t, a.Close())
}

// faultSizes asks for more than 32 bits can say. On 32-bit systems an int
// cannot even hold it; there the largest sizes have to be refused.
func faultSizes(t *testing.T) {
	var a arena.Arena
	for _, size := range []int{math.MaxInt, math.MaxInt - 1, math.MaxInt - 4095, math.MaxInt - 65535} {
		if size > math.MaxInt-4096 {
			_, err := arena.Reserve(size, nil)
			require.ErrorIs(t, err, arena.ErrSize)
		}
		_, err := arena.Reserve(size, &arena.Options{Backing: arena.Sparse})
		require.Error(t, err)
		_, err = a.Alloc(size, 4096)
		require.ErrorIs(t, err, arena.ErrSize)
		_, err = arena.MakeSlice[uint64](&a, 0, size)
		require.ErrorIs(t, err, arena.ErrSize)
	}
	// 2^29+1 elements of 8 bytes are 8 bytes modulo 2^32.
	_, err := arena.MakeSlice[uint64](&a, 0, 1<<29+1)
	if math.MaxInt == math.MaxInt32 {
		require.ErrorIs(t, err, arena.ErrSize)
	} else if err == nil {
		require.GreaterOrEqual(t, uint64(a.Stats().Used), uint64(1)<<32)
	}
	require.NoError(t, a.Check())
}

// faultCounters holds that counts end where they began.
func faultCounters(t *testing.T) {
	for name, o := range backings(t) {
		r := reserve(t, 64*pageSizeOf(), o)
		page := r.PageSize()
		for i := range 50 {
			require.NoError(t, r.Commit(arena.Offset(i*page), (1+i%7)*page))
			s := r.Stats()
			require.LessOrEqual(t, s.Committed, s.Reserved, name)
			require.LessOrEqual(t, s.Committed, s.Peak, name)
		}
		require.NoError(t, r.Decommit(0, r.Size()))
		require.Zero(t, r.Stats().Committed, name)
		require.NoError(t, r.Decommit(0, r.Size()), "nothing to give back")
		require.Zero(t, r.Stats().Committed, name)
	}
}

// faultExec holds that a child made by exec has none of our mappings.
func faultExec(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	r := reserve(t, 1<<30, nil)
	require.NoError(t, r.Commit(0, 4096))
	lo := fmt.Sprintf("%x-", addressOf(r.Bytes()))
	mine, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	require.Contains(t, string(mine), "\n"+lo)
	theirs := child(t, "maps")
	require.True(t, strings.Contains(theirs, "[stack]"))
	require.NotContains(t, theirs, "\n"+lo)
}
