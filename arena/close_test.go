package arena_test

import (
	"math"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

// TestCloseIsTriedAgain lets the system refuse the first Close: the region
// works as before it, and the second Close releases everything.
func TestCloseIsTriedAgain(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			p := arenatest.New()
			opts := *o
			opts.Pager = p
			r, err := arena.Reserve(1<<20, &opts)
			require.NoError(t, err)
			if r.Backing() == arena.GoHeap {
				require.Zero(t, p.Count(), "the Go heap needs no system calls")
				require.NoError(t, r.Close())
				return
			}
			require.NoError(t, r.Commit(0, 8192))
			r.Bytes()[100] = 7
			before := r.Stats()
			p.FailAt(1, syscall.EAGAIN, arenatest.Unmap)
			err = r.Close()
			require.ErrorIs(t, err, syscall.EAGAIN)
			require.ErrorContains(t, err, "arena: close 1048576 bytes: ")
			require.Equal(t, before, r.Stats())
			require.Equal(t, byte(7), r.Bytes()[100])
			require.NoError(t, r.Commit(8192, 8192))
			r.Bytes()[8192] = 1
			require.NoError(t, r.Check())
			require.NoError(t, r.Close())
			require.Nil(t, r.Bytes())
			require.NoError(t, p.Check())
			for range r.Committed() {
				t.Error("a closed region has committed bytes")
			}
		})
	}
}

// TestArenaCloseIsTriedAgain does it with several chunks, of which one stays.
func TestArenaCloseIsTriedAgain(t *testing.T) {
	needMappings(t)
	p := arenatest.New()
	a := arena.NewArena(&arena.Options{Pager: p})
	for range 3 {
		_, err := a.Alloc(1<<20, 8)
		require.NoError(t, err)
	}
	chunks := a.Stats().Chunks
	require.GreaterOrEqual(t, chunks, 2)
	p.FailAt(2, syscall.EAGAIN, arenatest.Unmap)
	require.ErrorIs(t, a.Close(), syscall.EAGAIN)
	require.Equal(t, chunks-1, a.Stats().Chunks)
	require.NoError(t, a.Check())
	b, err := a.Alloc(100, 8)
	require.NoError(t, err, "not closed: it can be used")
	require.True(t, isFilledWith(b, 0))
	require.NoError(t, a.Close())
	require.Zero(t, a.Stats().Reserved)
	require.NoError(t, p.Check())
}

// TestArenaTrimGoesOn makes one of the calls of a Trim fail: the others are
// made, the error is returned, and the next Trim does the rest.
func TestArenaTrimGoesOn(t *testing.T) {
	needMappings(t)
	for failing := 1; failing <= 3; failing++ {
		p := arenatest.New()
		a := arena.NewArena(&arena.Options{Pager: p})
		keep, err := a.Alloc(10, 8)
		require.NoError(t, err)
		keep[0] = 1
		m := a.Mark()
		for a.Stats().Chunks < 4 {
			_, err = a.Alloc(400_000, 8)
			require.NoError(t, err)
		}
		require.NoError(t, a.Release(m))
		p.FailAt(failing, syscall.EAGAIN, arenatest.Unmap)
		require.ErrorIs(t, a.Trim(), syscall.EAGAIN)
		require.Equal(t, 2, a.Stats().Chunks, "the first, in use, and the one that stays")
		require.NoError(t, a.Check())
		require.NoError(t, a.Trim())
		require.Equal(t, 1, a.Stats().Chunks)
		require.Equal(t, pageSizeOf(), a.Stats().Committed)
		require.Equal(t, byte(1), keep[0])
		require.NoError(t, a.Close())
		require.NoError(t, a.Trim(), "nothing to do after Close")
		require.NoError(t, p.Check())
	}
}

// TestConcurrentKeepsWorkingWhenTheSystemRefuses fails Trim and Close once each.
func TestConcurrentKeepsWorkingWhenTheSystemRefuses(t *testing.T) {
	needMappings(t)
	p := arenatest.New()
	c, err := arena.NewConcurrent(1<<20, &arena.Options{Pager: p})
	require.NoError(t, err)
	_, b, err := c.Alloc(100_000, 8)
	require.NoError(t, err)
	b[99_999] = 1
	c.Reset()
	have := c.Region().Stats().Committed
	p.FailAt(1, syscall.ENOMEM, arenatest.Advise)
	require.ErrorIs(t, c.Trim(), syscall.ENOMEM)
	require.Equal(t, have, c.Region().Stats().Committed)
	_, b, err = c.Alloc(100_000, 8)
	require.NoError(t, err)
	require.True(t, isFilledWith(b, 0), "what Trim did not give back is cleared")
	used := c.Used()
	p.FailAt(1, syscall.EAGAIN, arenatest.Unmap)
	require.ErrorIs(t, c.Close(), syscall.EAGAIN)
	require.Equal(t, used, c.Used())
	_, _, err = c.Alloc(8, 8)
	require.NoError(t, err, "still open")
	require.NoError(t, c.Close())
	require.NoError(t, p.Check())
}

// TestNoLeakReportAfterClose drops regions that were closed, and one that was
// not: only the last is reported.
func TestNoLeakReportAfterClose(t *testing.T) {
	reports := make(chan arena.Stats, 10)
	o := &arena.Options{Backing: arena.GoHeap, OnLeak: func(s arena.Stats) { reports <- s }}
	for range 5 {
		r, err := arena.Reserve(1<<16, o)
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
	func() {
		r, err := arena.Reserve(1<<17, o)
		require.NoError(t, err)
		require.NoError(t, r.Commit(0, 1<<17))
	}()
	deadline := time.After(20 * time.Second)
	for {
		runtime.GC()
		select {
		case s := <-reports:
			require.Equal(t, 1<<17, s.Reserved, "a closed region was reported")
			require.Equal(t, 1<<17, s.Committed)
			runtime.GC()
			time.Sleep(2 * time.Millisecond)
			require.Empty(t, reports)
			return
		case <-deadline:
			t.Fatal("no report")
		case <-time.After(time.Millisecond):
		}
	}
}

// TestOptionsThatMakeNoSense holds what a user reads who got them wrong.
func TestOptionsThatMakeNoSense(t *testing.T) {
	heap := arena.GoHeap
	tests := []struct {
		name string
		size int
		o    arena.Options
		want []string
		is   error
	}{
		{"negative size", -4096, arena.Options{Backing: heap}, []string{"arena: reserve goheap -4096 bytes: bad size"}, arena.ErrSize},
		{"negative limit", 4096, arena.Options{Backing: heap, Limit: -1}, []string{"reserve goheap", "negative limit"}, arena.ErrSize},
		{"larger than a heap can be", math.MaxInt / 4 * 3, arena.Options{Backing: heap}, []string{"arena: reserve goheap"}, arena.ErrSize},
		{"larger than an address space", math.MaxInt / 4 * 3, arena.Options{Backing: arena.Sparse}, []string{"arena: reserve sparse"}, nil},
		{"no such backing", 4096, arena.Options{Backing: 4}, []string{"reserve unknown", "unknown backing"}, nil},
		{"file without a path", 4096, arena.Options{Backing: arena.File}, []string{"reserve file 4096 bytes", "no path"}, nil},
		{"file that is missing", 4096, arena.Options{Backing: arena.File, Path: "no/such/dir/f"}, []string{"no/such/dir/f"}, os.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := arena.Reserve(tt.size, &tt.o)
			require.Nil(t, r)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
		})
	}
}
