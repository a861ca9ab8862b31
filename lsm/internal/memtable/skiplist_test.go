package memtable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func newList(t testing.TB, size int) *SkipList {
	t.Helper()
	s, err := NewSkipList(NewArena(make([]byte, size)), nil, 1)
	require.NoError(t, err)
	return s
}

// check holds the laws of the list: every level sorted and part of the one below.
func check(t testing.TB, s *SkipList) {
	t.Helper()
	below := map[uint32]bool{}
	for level := range int(s.height.Load()) {
		here := map[uint32]bool{}
		var last uint32
		for off := s.next(s.head, level); off != 0; off = s.next(off, level) {
			here[off] = true
			if level > 0 && !below[off] {
				t.Fatalf("node %#x is on level %d but not below", off, level)
			}
			if last != 0 && s.compareNode(last, s.key(off), s.tag(off)) >= 0 {
				t.Fatalf("level %d: node %#x is not after %#x", level, off, last)
			}
			last = off
		}
		if level == 0 {
			require.Equal(t, s.Len(), len(here))
		}
		below = here
	}
}

type entry struct {
	key   string
	seq   uint64
	kind  uint8
	value string
}

func before(a, b entry) int {
	if c := bytes.Compare([]byte(a.key), []byte(b.key)); c != 0 {
		return c
	}
	switch {
	case a.seq > b.seq:
		return -1
	case a.seq < b.seq:
		return 1
	}
	return int(b.kind) - int(a.kind)
}

func at(it *Iter, ok bool) (entry, bool) {
	if !ok {
		return entry{}, false
	}
	return entry{string(it.Key()), it.Seq(), it.Kind(), string(it.Value())}, true
}

func TestSkipListModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSkipList(NewArena(make([]byte, 1<<16)), nil, 1)
		require.NoError(t, err)
		var in Inserter
		var model []entry
		n := rapid.IntRange(0, 60).Draw(t, "n")
		for i := range n {
			e := entry{rapid.StringMatching(`[a-c]{0,3}`).Draw(t, "key"), uint64(i + 1),
				uint8(rapid.IntRange(0, 1).Draw(t, "kind")), rapid.StringN(0, 200, 300).Draw(t, "value")}
			require.NoError(t, s.Add(&in, []byte(e.key), e.seq, e.kind, []byte(e.value)))
			model = append(model, e)
		}
		slices.SortFunc(model, before)
		it := s.Iter()
		i := 0
		for ok := it.First(); ok; ok = it.Next() {
			got, _ := at(&it, true)
			require.Equal(t, model[i], got)
			i++
		}
		require.Equal(t, len(model), i)
		for ok := it.Last(); ok; ok = it.Prev() {
			i--
			got, _ := at(&it, true)
			require.Equal(t, model[i], got)
		}
		require.Zero(t, i)
		probe := entry{rapid.StringMatching(`[a-d]{0,3}`).Draw(t, "probe"),
			uint64(rapid.IntRange(0, n+2).Draw(t, "seq")), kindMask, ""}
		i, _ = slices.BinarySearchFunc(model, probe, before)
		got, ok := at(&it, it.SeekGE([]byte(probe.key), probe.seq, probe.kind))
		require.Equal(t, i < len(model), ok)
		if ok {
			require.Equal(t, model[i], got)
		}
		value, _, seq, found := s.Get([]byte(probe.key), probe.seq)
		want := i < len(model) && model[i].key == probe.key
		require.Equal(t, want, found)
		if found {
			require.Equal(t, model[i].value, string(value))
			require.Equal(t, model[i].seq, seq)
		}
		got, ok = at(&it, it.SeekLT([]byte(probe.key), probe.seq, probe.kind))
		require.Equal(t, i > 0, ok)
		if ok {
			require.Equal(t, model[i-1], got)
		}
	})
}

func TestSeekBelowBase(t *testing.T) {
	s, err := NewSkipList(NewArena(make([]byte, 1<<12)), nil, 100)
	require.NoError(t, err)
	var in Inserter
	for i, k := range []string{"a", "b", "b", "c"} {
		require.NoError(t, s.Add(&in, []byte(k), uint64(100+i), 1, nil))
	}
	it := s.Iter()
	require.True(t, it.SeekGE([]byte("b"), 50, 1))
	require.Equal(t, "c", string(it.Key()))
	require.True(t, it.SeekLT([]byte("b"), 50, 1))
	require.Equal(t, "b", string(it.Key()))
	require.EqualValues(t, 101, it.Seq())
	_, _, _, ok := s.Get([]byte("b"), 50)
	require.False(t, ok)
	require.True(t, it.SeekGE([]byte("b"), 1<<40, 1))
	require.EqualValues(t, 102, it.Seq())
}

func TestConcurrentInsert(t *testing.T) {
	const writers, each = 4, 2000
	s := newList(t, writers*each*64)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			in := Inserter{}
			in.Seed(uint64(w))
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range each {
				key := binary.BigEndian.AppendUint32(nil, rng.Uint32N(1000))
				seq := uint64(1 + i*writers + w)
				if err := s.Add(&in, key, seq, 1, key); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			it := s.Iter()
			var last []byte
			n := 0
			for ok := it.First(); ok; ok = it.Next() {
				if bytes.Compare(last, it.Key()) > 0 || !bytes.Equal(it.Key(), it.Value()) {
					t.Error("reader saw disorder or half an entry")
				}
				last = it.Key()
				n++
			}
		})
	}
	wg.Wait()
	require.Equal(t, writers*each, s.Len())
	check(t, s)
}

func TestConcurrentDuplicate(t *testing.T) {
	const writers = 4
	s := newList(t, 1<<20)
	var wg sync.WaitGroup
	won := make([]int, writers)
	for w := range writers {
		wg.Go(func() {
			var in Inserter
			for i := range 500 {
				if s.Add(&in, []byte(fmt.Sprint(i)), 7, 1, nil) == nil {
					won[w]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range won {
		sum += n
	}
	require.Equal(t, 500, sum)
	check(t, s)
}

// TestFault of the store's part C: what concerns the memtable alone.
func TestFault(t *testing.T) {
	t.Run("C32_arena_full_half_way", func(t *testing.T) {
		for size := 96; size < 2048; size += 4 {
			s, err := NewSkipList(NewArena(make([]byte, size)), nil, 1)
			require.NoError(t, err)
			var in Inserter
			n := 0
			for err == nil {
				err = s.Add(&in, fmt.Appendf(nil, "%d", n*7919%1000), uint64(n+1), 1, make([]byte, n%40))
				if err == nil {
					n++
				}
			}
			require.ErrorIs(t, err, ErrFull)
			require.Equal(t, n, s.Len())
			check(t, s)
			require.LessOrEqual(t, s.Arena().Size(), size)
		}
	})
}

func TestEntryOverhead(t *testing.T) {
	const n = 200_000
	s := newList(t, n*140)
	before := s.Arena().Size()
	var in Inserter
	key, value := make([]byte, 16), make([]byte, 100)
	for i := range n {
		binary.BigEndian.PutUint64(key, uint64(i)*0x9e3779b97f4a7c15)
		require.NoError(t, s.Add(&in, key, uint64(i+1), 1, value))
	}
	each := float64(s.Arena().Size()-before) / n
	require.LessOrEqual(t, each, 131.0, "bytes for an entry of 16+100 bytes")
	require.LessOrEqual(t, s.Arena().Size()-before, n*EntrySize(16, 100))
}

func TestInPlace(t *testing.T) {
	s := newList(t, 1<<16)
	s.EnableInPlace()
	var in Inserter
	add := func(seq uint64, value string) { require.NoError(t, s.Add(&in, []byte("k"), seq, 1, []byte(value))) }
	get := func() string { v, _, _, _ := s.Get([]byte("k"), 1000); return string(v) }
	add(1, "long value")
	used := s.Arena().Size()
	add(2, "short")
	require.Equal(t, "short", get())
	require.Equal(t, 1, s.Len())
	require.Equal(t, used, s.Arena().Size())
	add(3, "longer value than the first")
	require.Equal(t, "longer value than the first", get())
	require.Equal(t, 2, s.Len())
	require.NoError(t, s.Add(&in, []byte("k"), 4, 0, nil), "another kind never overwrites")
	require.Equal(t, 3, s.Len())
	check(t, s)
}

func TestInPlaceConcurrent(t *testing.T) {
	s := newList(t, 1<<16)
	s.EnableInPlace()
	var in Inserter
	require.NoError(t, s.Add(&in, []byte("k"), 1, 1, bytes.Repeat([]byte{0}, 64)))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 2000 {
			if err := s.Add(&in, []byte("k"), uint64(i+2), 1, bytes.Repeat([]byte{byte(i)}, 64)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2000 {
		v, _, _, _ := s.Get([]byte("k"), 1<<20)
		require.Equal(t, bytes.Repeat(v[:1], 64), v, "a torn value")
	}
	wg.Wait()
	require.Equal(t, 1, s.Len())
}

// TestBefore compares the search by words with the comparison of whole keys: all
// lengths around a word, zeros at the ends, values with lengths of one and two bytes.
func TestBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSkipList(NewArena(make([]byte, 1<<16)), nil, 1)
		require.NoError(t, err)
		key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0xff}), 0, 20)
		prefix := rapid.SliceOfN(rapid.Just(byte(0)), 0, 18).Draw(t, "prefix")
		a, b := slices.Concat(prefix, key.Draw(t, "a")), slices.Concat(prefix, key.Draw(t, "b"))
		var in Inserter
		value := make([]byte, rapid.SampledFrom([]int{0, 1, 127, 128, 20_000}).Draw(t, "value"))
		require.NoError(t, s.Add(&in, a, 10, 1, value))
		off := s.next(s.head, 0)
		for _, tag := range []uint32{s.tag(off) - 1, s.tag(off), s.tag(off) + 1} {
			target := newTarget(b, tag)
			require.Equal(t, s.compareNode(off, b, tag) < 0, s.before(off, &target), "%x before %x", a, b)
		}
	})
}
