package table

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// salvage opens what is left of a table and reads it. The entries are some of those
// that were written, in order.
func salvage(t *testing.T, c *cache.Cache, b []byte, entries []kv) (got []kv, damage []error) {
	t.Helper()
	r, damage, err := Salvage(fileOf(b), &ReaderOptions{Cache: c, FileName: "000007.ldb"})
	require.NoError(t, err)
	for _, e := range damage {
		require.ErrorIs(t, e, corrupt.ErrCorrupt)
	}
	got, bad := scan(t, r)
	for _, e := range bad {
		damage = append(damage, e)
	}
	require.NoError(t, r.Close())
	i := 0
	for _, g := range got {
		for i < len(entries) && !bytes.Equal(entries[i].k, g.k) {
			i++
		}
		if i == len(entries) || !bytes.Equal(entries[i].v, g.v) {
			t.Fatalf("%s was never written", keys.Format(g.k))
		}
		i++
	}
	return got, damage
}

// inLargestBlock returns the most entries that a block of the table has.
func inLargestBlock(t *testing.T, b []byte) (most int) {
	t.Helper()
	r := open(t, fileOf(b), newCache(t, 1<<20))
	for i := range r.idx.n {
		v, err := r.block(i)
		require.NoError(t, err)
		var it blockIter
		require.NoError(t, it.init(v.data, r.cmp))
		n := 0
		for ok := it.first(); ok; ok = it.next() {
			n++
		}
		v.handle.Release()
		most = max(most, n)
	}
	return most
}

// stride is how many bytes the tests of every place go on at a time.
func stride() int {
	if testing.Short() {
		return 31
	}
	return 3
}

// TestSalvageFlips holds that no wrong byte, wherever it is, costs more than one data
// block, and that the damage is told.
func TestSalvageFlips(t *testing.T) {
	c := newCache(t, 1<<20)
	for _, comp := range []Compression{Snappy, None, Zstd} {
		b, entries := smallTable(t, comp, 7)
		got, damage := salvage(t, c, b, entries)
		require.Len(t, got, len(entries))
		require.Empty(t, damage)
		most := inLargestBlock(t, b)
		for i := int(comp); i < len(b); i += stride() {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << (i % 8)
			got, damage := salvage(t, c, bad, entries)
			if len(got) < len(entries)-most || len(damage) == 0 {
				t.Fatalf("%v, byte %#x: %d of %d entries, %v", comp, i, len(got), len(entries), damage)
			}
		}
	}
}

// TestSalvageCuts holds that what is before a cut, and on either side of a hole, is
// read.
func TestSalvageCuts(t *testing.T) {
	c := newCache(t, 1<<20)
	for _, comp := range []Compression{Snappy, None, Zstd} {
		b, entries := smallTable(t, comp, 7)
		r := open(t, fileOf(b), newCache(t, 1<<20))
		var ends []int64 // of data blocks
		var counts []int // entries before
		n := 0
		it := r.NewIter(nil)
		for ok := it.First(); ok; ok = it.Next() {
			if e := r.idx.entries[it.i]; len(ends) <= it.i {
				ends = append(ends, int64(e.off)+int64(e.size)+trailerLen)
				counts = append(counts, 0)
			}
			n++
			counts[it.i] = n
		}
		require.NoError(t, it.Close())
		for size := int(comp); size < len(b); size += stride() {
			got, damage := salvage(t, c, b[:size], entries)
			require.NotEmpty(t, damage)
			whole := 0
			for i, end := range ends {
				if int64(size) >= end {
					whole = counts[i]
				}
			}
			require.Len(t, got, whole, "%v, cut to %d bytes", comp, size)
		}
		bad := slices.Delete(bytes.Clone(b), int(ends[1])+10, int(ends[1])+20) // 10 bytes of the third block
		got, damage := salvage(t, c, append(bad, "and more"...), entries)
		require.Len(t, got, len(entries)-(counts[2]-counts[1]))
		require.NotEmpty(t, damage)
		var gap *corrupt.Error
		require.True(t, errors.As(damage[1], &gap), "%v", damage)
		require.Equal(t, ends[1], gap.Off)
		require.NotEmpty(t, gap.Lo)
		require.NotEmpty(t, gap.Hi)
	}
}

// TestSalvageRanges holds that range tombstones are found without the metaindex and
// without the index.
func TestSalvageRanges(t *testing.T) {
	f := &memFile{}
	w := NewWriter(f, &WriterOptions{BlockSize: 300})
	entries := testEntries(rand.New(rand.NewPCG(7, 7)), 40)
	for _, e := range entries {
		require.NoError(t, w.Add(e.k, e.v))
	}
	require.NoError(t, w.AddRangeDelete([]byte("a"), []byte("b"), 1000))
	_, err := w.Finish()
	require.NoError(t, err)
	b := f.Bytes()
	meta, index, err := decodeFooter(b[len(b)-footerLen:], int64(len(b)))
	require.NoError(t, err)
	for _, at := range []uint64{meta.off + 1, index.off + 1, uint64(len(b)) - 1} {
		bad := bytes.Clone(b)
		bad[at] ^= 4
		r, damage, err := Salvage(fileOf(bad), &ReaderOptions{Cache: newCache(t, 1<<20)})
		require.NoError(t, err)
		require.NotEmpty(t, damage)
		n := 0
		require.NoError(t, r.RangeDeletes(func(start, end []byte, seq keys.SeqNum) {
			require.Equal(t, "a-b 1000", fmt.Sprintf("%s-%s %d", start, end, seq))
			n++
		}))
		require.Equal(t, 1, n, "byte %#x", at)
		got, _ := scan(t, r)
		require.Len(t, got, len(entries))
		require.NoError(t, r.Close())
	}
}
