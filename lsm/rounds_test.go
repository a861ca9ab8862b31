package lsm

import (
	"errors"
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/vfs"
)

// rounds is how often the tests of this file go round.
var rounds = flag.Int("rounds", 0, "rounds of crashes and of full disks; 0: 100, or 10 with -short")

func roundsOrDefault() int {
	switch {
	case *rounds > 0:
		return *rounds
	case testing.Short():
		return 10
	}
	return 100
}

// testCrashRounds cuts the power at a random call, recovers from what is left, and
// goes on with that, round after round: one store lives through all of them.
func testCrashRounds(t *testing.T) {
	t.Parallel()
	h := crashHistory()
	rng := rand.New(rand.NewPCG(3, 4))
	fs, n := vfs.NewMem(), 0
	for round := range roundsOrDefault() {
		in := vfs.NewInjector(fs)
		at := int64(rng.IntN(1500))
		p := []float64{0, 0, 0.1, 0.5, 0.9, 1}[rng.IntN(6)]
		var once sync.Once
		var left *vfs.Mem
		var acked, atCrash atomic.Int64
		crashed := make(chan struct{})
		in.Decide(func(c vfs.Call) *vfs.Fault {
			if c.N >= at {
				once.Do(func() {
					atCrash.Store(acked.Load())
					left = fs.CrashClone(p, uint64(round))
					close(crashed)
				})
			}
			return nil
		})
		acked.Store(int64(n))
		d, err := Open("db", small(in))
		require.NoError(t, err, "round %d", round)
		got := h.check(t, d)
		require.GreaterOrEqual(t, got, n, "round %d: recovered", round)
		for i := got + 1; ; i++ {
			require.NoError(t, h.step(d, i, Sync))
			acked.Store(int64(i))
			select {
			case <-crashed:
			default:
				continue
			}
			break
		}
		require.NoError(t, d.Close())
		fs, n = left, int(atCrash.Load())
	}
	got := h.reopen(t, fs)
	require.GreaterOrEqual(t, got, n)
	t.Logf("%d batches survived", got)
}

// A fullDisk lets so many bytes be written, then no more.
type fullDisk struct{ room atomic.Int64 }

func (f *fullDisk) decide(c vfs.Call) *vfs.Fault {
	switch c.Op {
	case vfs.OpCreate:
		if f.room.Load() <= 0 {
			return &vfs.Fault{Err: syscall.ENOSPC}
		}
	case vfs.OpWrite:
		if left := f.room.Add(-int64(c.Size)); left < 0 {
			return &vfs.Fault{Err: syscall.ENOSPC, Short: max(0, int(left)+c.Size)}
		}
	}
	return nil
}

// testFullRounds fills the disk after a random number of bytes and makes room again,
// round after round, in a store that is opened again now and then, also while there
// is no room.
func testFullRounds(t *testing.T) {
	t.Parallel()
	h := crashHistory()
	rng := rand.New(rand.NewPCG(5, 6))
	mem, disk := vfs.NewMem(), new(fullDisk)
	in := vfs.NewInjector(mem)
	in.Decide(disk.decide)
	const plenty = 1 << 40
	disk.room.Store(plenty)
	d := mustOpen(t, small(in))
	acked, hit := 0, 0
	for round := range roundsOrDefault() {
		disk.room.Store(int64(rng.IntN(16 << 10)))
		for range 150 {
			var b Batch
			h.add(&b, acked+1)
			if err := d.Apply(&b, &WriteOptions{Durability: Durability(rng.IntN(2))}); err != nil {
				require.ErrorIs(t, err, syscall.ENOSPC, "round %d", round)
				hit++
				break
			}
			acked++
		}
		require.Equal(t, acked, h.check(t, d), "round %d: reads go on without room", round)
		if round%5 == 4 {
			closed := d.Close()
			require.True(t, closed == nil || errors.Is(closed, syscall.ENOSPC), "%v", closed)
			if d2, err := Open("db", small(in)); err == nil {
				require.NoError(t, d2.Close())
			} else {
				require.ErrorIs(t, err, syscall.ENOSPC, "round %d", round)
			}
			disk.room.Store(plenty)
			d = mustOpen(t, small(in))
			require.Equal(t, acked, h.check(t, d), "round %d: opened again", round)
		}
		disk.room.Store(plenty)
		var b Batch
		h.add(&b, acked+1)
		require.Eventually(t, func() bool { return d.Apply(&b, nil) == nil }, 5*time.Second, time.Millisecond,
			"round %d: there is room again", round)
		acked++
	}
	require.Positive(t, hit)
	require.Eventually(t, func() bool { return d.Flush() == nil }, 5*time.Second, time.Millisecond)
	require.NoError(t, d.Close())
	require.Equal(t, acked, h.reopen(t, mem))
	requireTidy(t, mem)
	t.Logf("%d batches, %d times no room", acked, hit)
}
