package lsm

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// A crash is what a power failure at one call would leave.
type crash struct {
	fs    *vfs.Mem
	call  vfs.Call
	acked int // batches that had returned by then
}

// crashes runs n batches at a durability and collects what a power failure before
// each call that want chooses would leave.
func (h history) crashes(t testing.TB, n int, level Durability, p func(i int) float64, want func(vfs.Call) bool) []crash {
	t.Helper()
	mem := vfs.NewMem()
	in := vfs.NewInjector(mem)
	var acked atomic.Int64
	var mu sync.Mutex
	var out []crash
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if want == nil && (!testing.Short() || c.N%4 == 0) || want != nil && want(c) {
			mu.Lock()
			defer mu.Unlock()
			a := int(acked.Load())
			out = append(out, crash{mem.CrashClone(p(len(out)), uint64(len(out))), c, a})
		}
		return nil
	})
	d, err := Open("db", small(in))
	require.NoError(t, err)
	for i := 1; i <= n; i++ {
		require.NoError(t, h.step(d, i, level))
		acked.Store(int64(i))
	}
	require.NoError(t, d.Close())
	require.Equal(t, n, h.reopen(t, mem))
	return out
}

// survive opens each crash and holds that nothing acknowledged is missing, if
// exact, and that the state is one that was.
func (h history) survive(t *testing.T, cs []crash, exact bool) {
	t.Helper()
	for _, c := range cs {
		d, err := Open("db", small(c.fs))
		require.NoError(t, err, "crash at call %d, %v %s", c.call.N, c.call.Op, c.call.Name)
		n := h.check(t, d)
		if exact {
			require.GreaterOrEqual(t, n, c.acked, "crash at call %d, %v %s", c.call.N, c.call.Op, c.call.Name)
		}
		// The store goes on, and the next recovery finds that too.
		require.NoError(t, h.step(d, n+1, Sync))
		require.NoError(t, d.Close())
		if c.call.N%8 == 0 {
			require.Equal(t, n+1, h.reopen(t, c.fs))
			requireTidy(t, c.fs)
		}
	}
}

// requireTidy holds that a closed store's directory has nothing in it that is not
// needed.
func requireTidy(t testing.TB, fs vfs.FS) {
	t.Helper()
	dir, err := fs.OpenDir("db", false)
	require.NoError(t, err)
	s, err := list(dir)
	require.NoError(t, err)
	s.manifest, err = readCurrent(dir)
	require.NoError(t, err)
	require.NoError(t, s.readManifest())
	require.Equal(t, []uint64{s.manifest}, s.manifests)
	require.Empty(t, s.temps)
	require.Empty(t, s.unknown)
	live := map[uint64]bool{}
	for _, m := range s.live {
		live[m.Num] = true
	}
	for num, name := range s.tables {
		require.True(t, live[num] || num >= s.next, "obsolete table %s", name)
	}
	require.Equal(t, s.logs, s.neededLogs())
}

func always(p float64) func(int) float64 { return func(int) float64 { return p } }

// crashHistory is the history of the crash tests; its length is shortBatches or
// 200.
func crashHistory() history { return history{keys: 40, size: 60} }

func crashLength() int {
	if testing.Short() {
		return 70
	}
	return 200
}

// TestFaultCrashes holds the rows that cut a whole history short.
func TestFaultCrashes(t *testing.T) {
	t.Parallel()
	h, n := crashHistory(), crashLength()
	isSync := func(c vfs.Call) bool { return c.Op == vfs.OpSync || c.Op == vfs.OpSyncDir }
	t.Run("C02_power_loss_at_every_sync_point", func(t *testing.T) {
		h.survive(t, h.crashes(t, n, Sync, always(0), isSync), true)
	})
	t.Run("C03_random_unsynced_blocks", func(t *testing.T) {
		for _, level := range []Durability{Sync, OS, Buffered} {
			cs := h.crashes(t, n, level, func(i int) float64 { return float64(1+i*37%99) / 100 }, nil)
			h.survive(t, cs, level == Sync)
		}
	})
	t.Run("C18_crash_between_the_steps", func(t *testing.T) {
		for _, p := range []float64{0, 1} { // power loss; kill -9
			h.survive(t, h.crashes(t, n, Sync, always(p), nil), true)
		}
		h.survive(t, h.crashes(t, n, OS, always(1), nil), true)
	})
	t.Run("C38_crash_during_recovery_at_every_step", func(t *testing.T) {
		cs := h.crashes(t, 100, Sync, always(0), func(c vfs.Call) bool { return c.N%97 == 0 })
		for _, c := range cs {
			crashRecovery(t, h, c)
		}
	})
	t.Run("C38_disk_full_during_recovery", func(t *testing.T) {
		cs := h.crashes(t, 100, Sync, always(0), func(c vfs.Call) bool { return c.N%197 == 0 })
		for _, c := range cs {
			fullRecovery(t, h, c)
		}
	})
}

// crashRecovery cuts the recovery of a crash at each of its calls, and recovers
// from that.
func crashRecovery(t *testing.T, h history, c crash) {
	t.Helper()
	in := vfs.NewInjector(c.fs)
	var again []*vfs.Mem
	in.Decide(func(call vfs.Call) *vfs.Fault {
		again = append(again, c.fs.CrashClone(float64(call.N%3)/2, uint64(call.N)))
		return nil
	})
	o := small(in)
	o.MaxCompactions = -1
	d, err := Open("db", o)
	require.NoError(t, err)
	in.Decide(nil)
	require.NoError(t, d.Close())
	for _, fs := range again {
		require.GreaterOrEqual(t, h.reopen(t, fs), c.acked)
	}
}

// fullRecovery makes each write of the recovery of a crash fail for want of
// space; the next attempt must find everything.
func fullRecovery(t *testing.T, h history, c crash) {
	t.Helper()
	for n := int64(1); ; n++ {
		fs := c.fs.CrashClone(1, 0)
		in := vfs.NewInjector(fs)
		in.Decide(func(call vfs.Call) *vfs.Fault {
			if call.N >= n && (call.Op == vfs.OpWrite || call.Op == vfs.OpCreate) {
				return &vfs.Fault{Err: syscall.ENOSPC, Short: call.Size / 2}
			}
			return nil
		})
		d, err := Open("db", small(in))
		calls := in.Calls()
		if err == nil {
			in.Decide(nil)
			require.NoError(t, d.Close())
		} else {
			require.ErrorIs(t, err, syscall.ENOSPC)
		}
		require.GreaterOrEqual(t, h.reopen(t, fs), c.acked, "no space from call %d on", n)
		if err == nil && calls < n {
			return
		}
	}
}

// TestFailEveryCall makes the k-th call fail, for every k. What was acknowledged
// stays, in the running store and after opening it again.
func TestFailEveryCall(t *testing.T) {
	h := crashHistory()
	step := int64(1)
	if testing.Short() {
		step = 17
	}
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for k := int64(1); ; k += step {
			if failOnce(t, h, k, cause) {
				break
			}
		}
	}
}

// failOnce runs a history in which the k-th call fails, and reports whether there
// was none.
func failOnce(t *testing.T, h history, k int64, cause error) (past bool) {
	t.Helper()
	mem := vfs.NewMem()
	in := vfs.NewInjector(mem)
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if c.N == k {
			return &vfs.Fault{Err: cause, Short: c.Size / 3}
		}
		return nil
	})
	acked := 0
	d, err := Open("db", small(in))
	if err == nil {
		tries := 0
		for i := 1; i <= 80 && tries < 3; {
			var b Batch
			h.add(&b, i)
			if err := d.Apply(&b, &WriteOptions{Durability: Sync}); err != nil {
				tries++
				continue
			}
			acked = i
			i++
			if i%30 == 0 {
				_ = d.Flush() // the injected failure may come here
			}
		}
		in.Decide(nil)
		if tries < 3 {
			require.Equal(t, acked, h.check(t, d), "call %d fails", k)
		}
		_ = d.Close() // and here
	}
	calls := in.Calls()
	in.Decide(nil)
	fs := mem.CrashClone(0, uint64(k))
	require.GreaterOrEqual(t, h.reopen(t, fs), acked, "call %d fails, then power loss", k)
	require.GreaterOrEqual(t, h.reopen(t, mem), acked, "call %d fails", k)
	return calls < k
}

// names lists the files of a kind.
func names(t testing.TB, fs vfs.FS, kind filename.Kind) []string {
	t.Helper()
	dir, err := fs.OpenDir("db", false)
	require.NoError(t, err)
	all, err := dir.List()
	require.NoError(t, err)
	return slices.DeleteFunc(all, func(name string) bool {
		k, _ := filename.Parse(name)
		return k != kind
	})
}

// contents reads a file.
func contents(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	dir, err := fs.OpenDir("db", false)
	require.NoError(t, err)
	f, err := dir.Open(name)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		require.NoError(t, err, fmt.Sprint(name))
	}
	require.NoError(t, f.Close())
	return b
}

// rewrite replaces a file's contents.
func rewrite(t testing.TB, fs vfs.FS, name string, b []byte) {
	t.Helper()
	dir, err := fs.OpenDir("db", false)
	require.NoError(t, err)
	f, err := dir.Create(name)
	require.NoError(t, err)
	_, err = f.Write(b)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	require.NoError(t, dir.Sync())
}

// testNoRecycling holds that a log is a new file under a number that was never
// used: what follows a log's end can then only be what its last write left.
func testNoRecycling(t *testing.T) {
	in := vfs.NewInjector(vfs.NewMem())
	var mu sync.Mutex
	made := map[string]int{}
	in.Decide(func(c vfs.Call) *vfs.Fault {
		mu.Lock()
		defer mu.Unlock()
		if kind, _ := filename.Parse(c.Name); kind == filename.Log {
			switch c.Op {
			case vfs.OpCreate:
				made[c.Name]++
			case vfs.OpRename, vfs.OpLink, vfs.OpAppend:
				t.Errorf("%v %s", c.Op, c.Name)
			}
		}
		return nil
	})
	h := crashHistory()
	for round := range 3 {
		d := mustOpen(t, small(in))
		for i := 70*round + 1; i <= 70*round+70; i++ {
			require.NoError(t, h.step(d, i, OS))
		}
		require.NoError(t, d.Close())
	}
	mu.Lock()
	defer mu.Unlock()
	require.Greater(t, len(made), 5)
	for name, n := range made {
		require.Equal(t, 1, n, name)
	}
}
