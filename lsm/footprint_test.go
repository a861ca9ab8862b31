package lsm

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var bigTests = flag.Bool("big", false, "run tests that need a gigabyte of memory or a minute")

// An idle process forces a collection whenever it is asked to and says how long
// that took: what a collection costs on this machine at this moment, with no data
// at all.
type idleProcess struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

const idleEnv = "MEMLAB_LSM_IDLE"

// TestIdleChild is the idle process. On its own it does nothing.
func TestIdleChild(t *testing.T) {
	if os.Getenv(idleEnv) == "" {
		t.Skip("run by TestLiveHeap")
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(forcedGC().Nanoseconds())
	}
}

func startIdle(t *testing.T) *idleProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestIdleChild$")
	cmd.Env = append(os.Environ(), idleEnv+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	if err := cmd.Start(); errors.Is(err, errors.ErrUnsupported) || runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("this system starts no processes")
	} else {
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		require.NoError(t, cmd.Wait())
	})
	return &idleProcess{in, bufio.NewScanner(out)}
}

func (p *idleProcess) collect(t *testing.T) time.Duration {
	t.Helper()
	_, err := fmt.Fprintln(p.in, "collect")
	require.NoError(t, err)
	require.True(t, p.out.Scan())
	ns, err := strconv.Atoi(p.out.Text())
	require.NoError(t, err)
	return time.Duration(ns)
}

func forcedGC() time.Duration {
	start := time.Now()
	runtime.GC()
	return time.Since(start)
}

// scannable returns the bytes that a collection has to look through: of heap, stacks
// and globals.
func scannable() uint64 {
	s := []metrics.Sample{{Name: "/gc/scan/total:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// TestLiveHeap holds that millions of live entries in the memtable leave the Go
// heap small and add nothing to what a collection looks through. It logs how long a
// forced collection takes with them, beside an idle process that forces one in the
// same moments.
func TestLiveHeap(t *testing.T) {
	n := 200_000
	if bits.UintSize == 32 {
		n = 100_000 // what one buffer may hold there
	}
	if *bigTests {
		n = 5_000_000
	}
	d := benchDB(t, &Options{WriteBufferSize: n*131 + 1<<20, Durability: Buffered})
	runtime.GC()
	empty := scannable()
	var b Batch
	rng := rand.New(rand.NewPCG(1, 1))
	key, value := make([]byte, 0, 16), make([]byte, 100)
	for range n {
		key = benchKey(key, int(rng.Uint32()), "random")
		b.Put(key, value)
		if b.Len() == 100 {
			require.NoError(t, d.Apply(&b, nil))
			b.Reset()
		}
	}
	m := d.Stats().Memory
	require.Equal(t, n, m.Entries)
	require.LessOrEqual(t, float64(m.MemtableUse)/float64(n), 131.0)

	idle := startIdle(t)
	var took, alone []time.Duration
	for range 21 {
		took = append(took, forcedGC())
		alone = append(alone, idle.collect(t))
	}
	slices.Sort(took)
	slices.Sort(alone)
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	require.Less(t, ms.HeapAlloc, uint64(10<<20))
	full := scannable()
	require.Less(t, full, empty+256<<10, "bytes for the collector to look through")
	t.Logf("%d entries, %d bytes of memtable; Go heap %d bytes, %d for a collection to look through (%d before)",
		n, m.MemtableUse, ms.HeapAlloc, full, empty)
	t.Logf("forced collection: median %v, least %v; of an idle process beside it: %v, %v",
		took[len(took)/2], took[0], alone[len(alone)/2], alone[0])
}

const limitEnv = "MEMLAB_LSM_LIMIT"

// A limitLoad is a store with a memory limit and what is written to it. Sizes
// are in bytes.
type limitLoad struct{ limit, buffer, cache, entries int }

func theLimitLoad() limitLoad {
	if *bigTests {
		return limitLoad{128 << 20, 32 << 20, 48 << 20, 5_000_000}
	}
	return limitLoad{32 << 20, 8 << 20, 12 << 20, 300_000}
}

// anonBytes returns the anonymous resident memory of this process, which does
// not count pages of files, 0 where the system does not say.
func anonBytes() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// TestResidentMemoryChild fills, reads and compacts a store at its limit and prints
// the peak of the anonymous resident memory. On its own it does nothing.
func TestResidentMemoryChild(t *testing.T) {
	if os.Getenv(limitEnv) == "" {
		t.Skip("run by TestResidentMemory")
	}
	var peak atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			peak.Store(max(peak.Load(), anonBytes()))
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	l := theLimitLoad()
	d := benchDB(t, &Options{MemoryLimit: l.limit, WriteBufferSize: l.buffer, BlockCacheSize: l.cache})
	rng := rand.New(rand.NewPCG(1, 2))
	key, value, dst := make([]byte, 0, 16), make([]byte, 100), make([]byte, 0, 128)
	for i := range l.entries {
		for j := 0; j < 50; j++ {
			value[j] = byte(rng.Uint32())
		}
		require.NoError(t, d.Put(benchKey(key, rng.IntN(l.entries), "random"), value))
		if i%4 == 0 {
			var err error
			if dst, err = d.AppendTo(dst[:0], benchKey(key, rng.IntN(l.entries), "random")); err != nil {
				require.ErrorIs(t, err, ErrNotFound)
			}
		}
	}
	scan := func() {
		it, err := d.NewIter(nil)
		require.NoError(t, err)
		for ok := it.First(); ok; ok = it.Next() {
		}
		require.NoError(t, it.Close())
	}
	scan()
	require.NoError(t, d.CompactRange(nil, nil))
	scan()
	s := d.Stats()
	m := s.Memory
	require.Positive(t, s.Compactions)
	require.Zero(t, m.Overflow)
	require.LessOrEqual(t, m.Memtables.Used+m.BlockCache.Used+m.Tables.Used+m.LogBuffer.Used, m.Limit)
	require.Equal(t, m.Limit, m.Memtables.Bytes+m.BlockCache.Bytes+m.Tables.Bytes+m.LogBuffer.Bytes)
	close(stop)
	<-stopped
	fmt.Printf("peak %d\n", peak.Load())
}

// TestResidentMemory holds that a store at its memory limit takes no more than that and
// 32 MiB of anonymous memory: the Go heap, the compactions' scratch memory and the
// runtime itself. The load runs in a process of its own, at GOGC=100.
func TestResidentMemory(t *testing.T) {
	if anonBytes() == 0 || raceEnabled { // the race detector's own memory counts
		t.Skip("this system does not say how much anonymous memory is resident")
	}
	l := theLimitLoad()
	if l.limit > maxSize {
		t.Skip("a limit above what a store on 32 bits may have")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestResidentMemoryChild$", fmt.Sprintf("-big=%v", *bigTests))
	cmd.Env = append(os.Environ(), limitEnv+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	_, rest, ok := strings.Cut(string(out), "peak ")
	require.True(t, ok, string(out))
	word, _, _ := strings.Cut(rest, "\n")
	peak, err := strconv.Atoi(word)
	require.NoError(t, err)
	require.LessOrEqual(t, peak, l.limit+32<<20)
	require.Greater(t, peak, l.limit/2, "the load fills the store's memory")
	t.Logf("limit %d MiB, anonymous peak %.1f MiB", l.limit>>20, float64(peak)/(1<<20))
}
