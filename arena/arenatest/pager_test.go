package arenatest_test

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

// TestEachCallFailsOnDemand makes every kind of call fail once. A failed call
// is counted and not passed on; the one after it goes through.
func TestEachCallFailsOnDemand(t *testing.T) {
	p := arenatest.New()
	const size = 1 << 16
	mem, err := p.Map(arena.MapRequest{Size: size, Prot: arena.ProtReadWrite})
	if err != nil {
		t.Skip("no mappings on this system")
	}
	mem[0], mem[size-1] = 1, 2
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer f.Close()
	calls := map[arenatest.Op]func() error{
		arenatest.Map: func() error {
			m, err := p.Map(arena.MapRequest{Size: size})
			if err == nil {
				err = p.Unmap(m)
			}
			return err
		},
		arenatest.Protect:  func() error { return p.Protect(mem, arena.ProtNone) },
		arenatest.Advise:   func() error { return p.Advise(mem, arena.AdviseDontNeed) },
		arenatest.Move:     func() error { return p.Move(mem[:size/2], mem[size/2:]) },
		arenatest.Unmap:    func() error { return p.Unmap(mem) },
		arenatest.Allocate: func() error { return p.Allocate(f, 0, size) },
		arenatest.Punch:    func() error { return p.Punch(f, 0, size) },
		arenatest.Sync:     func() error { return p.Sync(mem) },
		arenatest.Resident: func() error { _, err := p.Resident(mem); return err },
	}
	for op, call := range calls {
		t.Run(op.String(), func(t *testing.T) {
			before := p.Count(op)
			p.FailAt(1, syscall.EIO, op)
			require.False(t, p.Injected())
			require.ErrorIs(t, call(), syscall.EIO)
			require.True(t, p.Injected())
			require.Equal(t, before+1, p.Count(op), "a failed call counts")
			require.Equal(t, [2]byte{1, 2}, [2]byte{mem[0], mem[size-1]}, "the system was not called")
			info, err := f.Stat()
			require.NoError(t, err)
			require.Zero(t, info.Size())
			n, held := p.Held()
			require.Equal(t, [2]int{1, size}, [2]int{n, held})
		})
	}
	require.NoError(t, calls[arenatest.Map](), "one failure, no more")
	p.FailAt(1, nil)
	_, err = p.Resident(mem)
	require.ErrorIs(t, err, arenatest.ErrInjected, "without kinds of call any counts")
	p.FailAt(2, nil, arenatest.Sync, arenatest.Resident)
	n, err := p.Resident(mem)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, 2)
	require.ErrorIs(t, p.Sync(mem), arenatest.ErrInjected, "the kinds are counted together")
	p.FailAt(1, nil, arenatest.Sync)
	p.FailAt(0, nil)
	require.NoError(t, p.Sync(mem), "taken back")
	require.NoError(t, p.Unmap(mem))
	require.NoError(t, p.Check())
}

// TestPagerCountsFromManyGoroutines holds that of many calls at once exactly
// one fails and none is lost from the counts.
func TestPagerCountsFromManyGoroutines(t *testing.T) {
	p := arenatest.New()
	if m, err := p.Map(arena.MapRequest{Size: 1 << 16}); err != nil {
		t.Skip("no mappings on this system")
	} else {
		require.NoError(t, p.Unmap(m))
	}
	const goroutines, each = 8, 50
	p.FailAt(goroutines*each/2, nil, arenatest.Map)
	failed := make([]int, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for range each {
				m, err := p.Map(arena.MapRequest{Size: 1 << 16})
				if err != nil {
					failed[g]++
				} else if err := p.Unmap(m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range failed {
		total += n
	}
	require.Equal(t, 1, total)
	require.Equal(t, 2*(goroutines*each+1)-1, p.Count(arenatest.Map, arenatest.Unmap))
	require.NoError(t, p.Check())
}

// TestSweepFailsEachCallOnce holds what a sweep hands to its workload: call k
// fails in run k, and the count it returns is that of the calls.
func TestSweepFailsEachCallOnce(t *testing.T) {
	var failedAt []int
	runs := arenatest.Sweep(t, syscall.EAGAIN, func(p *arenatest.Pager) error {
		for call := range 4 {
			err := p.Advise(nil, arena.Advice(255))
			if p.Injected() {
				require.ErrorIs(t, err, syscall.EAGAIN)
				failedAt = append(failedAt, call)
				return err
			}
			_ = p.Sync(nil) // another kind: it does not count
		}
		return nil
	}, arenatest.Advise)
	require.Equal(t, 4, runs)
	require.Equal(t, []int{0, 1, 2, 3}, failedAt)
	endless := func(p *arenatest.Pager) error {
		p.FailAt(1, nil) // the call whose turn it is, without those before it
		return p.Advise(nil, arena.AdviseDontNeed)
	}
	require.Contains(t, sweepMessage(t, endless), "still makes calls after 10000")
}
