package linearizable

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm"
	"github.com/memlab-go/memlab/lsm/vfs"
)

var rounds = flag.Int("rounds", 300, "histories to record and check")

// A call is what a goroutine asked for.
type call struct {
	op    string // write, get, walk
	key   string // get
	write []change
}

// A change is one record of a batch: a value, a deletion, or a range deletion.
type change struct{ kind, key, value string }

// A state is the store as it should be. It is kept as text, so that states compare.
type state string

func (s state) decode() map[string]string {
	m := map[string]string{}
	for _, pair := range strings.Fields(string(s)) {
		k, v, _ := strings.Cut(pair, "=")
		m[k] = v
	}
	return m
}

func encode(m map[string]string) state {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%s ", k, m[k])
	}
	return state(b.String())
}

// storeModel says what a store answers that does one call after the other.
func storeModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state("") },
		Step: func(st, in, out any) (bool, any) {
			s, c := st.(state), in.(call)
			switch c.op {
			case "get":
				v, ok := s.decode()[c.key]
				if !ok {
					v = "none"
				}
				return out == v, s
			case "walk":
				return out == string(s), s
			}
			m := s.decode()
			for _, w := range c.write {
				switch w.kind {
				case "put":
					m[w.key] = w.value
				case "delete":
					delete(m, w.key)
				case "range":
					maps.DeleteFunc(m, func(k, _ string) bool { return w.key <= k && k < w.value })
				}
			}
			return true, encode(m)
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v: %v", in, out) },
	}
}

// A store is what is put to the test.
type store interface {
	Apply(*lsm.Batch, *lsm.WriteOptions) error
	Get([]byte) ([]byte, error)
	NewIter(*lsm.IterOptions) (*lsm.Iterator, error)
	NewSnapshot() (*lsm.Snapshot, error)
}

// record has goroutines use a store and returns what they saw.
func record(t *testing.T, s store, seed uint64) []porcupine.Operation {
	t.Helper()
	const clients, calls = 5, 14
	var clock atomic.Int64
	var mu sync.Mutex
	var ops []porcupine.Operation
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(client)))
			for i := range calls {
				c := draw(rng, fmt.Sprintf("%d.%d", client, i))
				began := clock.Add(1)
				out, err := do(s, c, rng)
				ended := clock.Add(1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				ops = append(ops, porcupine.Operation{ClientId: client, Input: c, Call: began, Output: out, Return: ended})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return ops
}

// draw draws a call; what it writes is written by no other.
func draw(rng *rand.Rand, value string) call {
	key := func() string { return string("abcd"[rng.IntN(4)]) }
	switch n := rng.IntN(10); {
	case n < 3:
		return call{op: "get", key: key()}
	case n < 5:
		return call{op: "walk"}
	case n < 6:
		return call{op: "write", write: []change{{"range", "b", "d"}}}
	case n < 7:
		return call{op: "write", write: []change{{"delete", key(), ""}}}
	case n < 8:
		return call{op: "write", write: []change{{"put", key(), value}}}
	}
	return call{op: "write", write: []change{{"put", "a", value}, {"delete", "b", ""}, {"put", "d", value}}}
}

// do carries out a call and returns what the store answered.
func do(s store, c call, rng *rand.Rand) (string, error) {
	switch c.op {
	case "get":
		v, err := s.Get([]byte(c.key))
		if errors.Is(err, lsm.ErrNotFound) {
			return "none", nil
		}
		return strings.TrimRight(string(v), "."), err
	case "walk":
		return walk(s, rng.IntN(3))
	}
	var b lsm.Batch
	for _, w := range c.write {
		switch w.kind {
		case "put":
			b.Put([]byte(w.key), []byte(w.value+strings.Repeat(".", rng.IntN(400)))) // so that memtables fill
		case "delete":
			b.Delete([]byte(w.key))
		case "range":
			b.DeleteRange([]byte(w.key), []byte(w.value))
		}
	}
	return "", s.Apply(&b, &lsm.WriteOptions{Durability: lsm.Durability(rng.IntN(3))})
}

// walk reads everything: forward, backward, or by a snapshot.
func walk(s store, how int) (string, error) {
	newIter := s.NewIter
	if how == 2 {
		snap, err := s.NewSnapshot()
		if err != nil {
			return "", err
		}
		defer func() { _ = snap.Close() }() // it cannot fail
		newIter = snap.NewIter
	}
	it, err := newIter(nil)
	if err != nil {
		return "", err
	}
	m := map[string]string{}
	first, next := it.First, it.Next
	if how == 1 {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		m[string(it.Key())] = strings.TrimRight(string(it.Value()), ".")
	}
	return string(encode(m)), it.Close()
}

func small(fs vfs.FS) *lsm.Options {
	return &lsm.Options{FS: fs, Backing: arena.GoHeap, WriteBufferSize: 4 << 10, BlockCacheSize: 64 << 10, TablesSize: 256 << 10,
		BlockSize: 256, TargetFileSize: 2 << 10, LevelSize: 4 << 10, L0CompactionTrigger: 2, MaxCompactions: 1}
}

// TestLinearizable records histories of real stores, under flushes and compactions.
func TestLinearizable(t *testing.T) {
	for round := range *rounds {
		d, err := lsm.Open("db", small(vfs.NewMem()))
		require.NoError(t, err)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if i%2 == 0 {
					err = d.Flush()
				} else {
					err = d.CompactRange(nil, nil)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		ops := record(t, d, uint64(round))
		close(stop)
		wg.Wait()
		require.NoError(t, d.Check())
		require.NoError(t, d.Close())
		result, info := porcupine.CheckOperationsVerbose(storeModel(), ops, time.Minute)
		if result != porcupine.Ok {
			path := t.TempDir() + "/history.html"
			_ = porcupine.VisualizePath(storeModel(), info, path) // the verdict counts
			t.Fatalf("round %d: %v, see %s", round, result, path)
		}
	}
}

// A liar is a store with a fault.
type liar struct {
	*lsm.DB
	lie func(d *lsm.DB, key []byte) ([]byte, error) // what Get answers
	cut bool                                        // batches are torn apart
}

func (l *liar) Get(key []byte) ([]byte, error) {
	if l.lie != nil {
		return l.lie(l.DB, key)
	}
	return l.DB.Get(key)
}

func (l *liar) Apply(b *lsm.Batch, o *lsm.WriteOptions) error {
	if !l.cut || b.Len() < 3 {
		return l.DB.Apply(b, o)
	}
	// The last value of the batch comes late.
	if err := l.DB.Apply(b, o); err != nil {
		return err
	}
	late, err := l.DB.Get([]byte("d"))
	if errors.Is(err, lsm.ErrNotFound) {
		return nil
	}
	err = errors.Join(err, l.DB.Delete([]byte("d")))
	time.Sleep(100 * time.Microsecond)
	return errors.Join(err, l.DB.Put([]byte("d"), late))
}

// TestFaultsAreFound holds that the test above can fail.
func TestFaultsAreFound(t *testing.T) {
	for name, make := range map[string]func() *liar{
		"stale reads": func() *liar {
			var mu sync.Mutex
			old := map[string]string{}
			return &liar{lie: func(d *lsm.DB, key []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				v, err := d.Get(key)
				was, ok := old[string(key)]
				old[string(key)] = string(v)
				if ok && err == nil {
					return []byte(was), nil
				}
				return v, err
			}}
		},
		"torn batches": func() *liar { return &liar{cut: true} },
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 200 {
				d, err := lsm.Open("db", small(vfs.NewMem()))
				require.NoError(t, err)
				l := make()
				l.DB = d
				ops := record(t, l, uint64(round))
				require.NoError(t, d.Close())
				if porcupine.CheckOperationsTimeout(storeModel(), ops, time.Minute) == porcupine.Illegal {
					t.Logf("found in round %d", round)
					return
				}
			}
			t.Fatal("not found in 200 rounds")
		})
	}
}
