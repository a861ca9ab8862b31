package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

func TestFault(t *testing.T) {
	t.Run("C12_flip_in_data_block", testFlipData)
	t.Run("C13_flip_in_index_filter_footer", testFlipMeta)
	t.Run("C14_truncated_empty_or_longer", testSize)
	t.Run("C16_swapped_tables", testIdentity)
	t.Run("C24_read_error", testReadError)
	t.Run("C25_mapped_file_truncated", testSIGBUS)
	t.Run("C31_comparer_mismatch", testComparerMismatch)
	t.Run("C36_decompression_bombs", testBombs)
}

// smallTable returns the bytes of a table with a few data blocks.
func smallTable(t testing.TB, comp Compression, num uint64) ([]byte, []kv) {
	t.Helper()
	entries := testEntries(rand.New(rand.NewPCG(7, num)), 40)
	f := build(t, &WriterOptions{BlockSize: 300, Compression: comp, BitsPerKey: 10, FileNum: num}, entries)
	return f.Bytes(), entries
}

func fileOf(b []byte) *memFile {
	f := &memFile{}
	_, _ = f.Write(b)
	return f
}

// scan reads all it can of a table, past damage, and returns the entries and
// the damage.
func scan(t *testing.T, r *Reader) (got []kv, bad []*corrupt.Error) {
	t.Helper()
	it := r.NewIter(&IterOptions{OnCorrupt: func(e *corrupt.Error) bool {
		bad = append(bad, e)
		return true
	}})
	for ok := it.First(); ok; ok = it.Next() {
		got = append(got, kv{bytes.Clone(it.Key()), bytes.Clone(it.Value())})
	}
	require.NoError(t, it.Close())
	return got, bad
}

// testFlipData flips every byte of the data blocks: the block is lost and
// named, all others are read, and no Get returns something else than it should.
func testFlipData(t *testing.T) {
	for _, comp := range []Compression{Snappy, None} {
		clean, entries := smallTable(t, comp, 1)
		c := newCache(t, 1<<20)
		whole := open(t, fileOf(clean), c)
		for i := range whole.idx.n {
			e := whole.idx.entries[i]
			lo, hi := whole.idx.span(i)
			step := uint64(1)
			if testing.Short() {
				step = 7
			}
			for at := e.off; at < e.off+uint64(e.size)+trailerLen; at += step {
				b := bytes.Clone(clean)
				b[at] ^= 1 << (at % 8)
				r, err := Open(fileOf(b), &ReaderOptions{Cache: c, FileName: "000001.ldb"})
				require.NoError(t, err)
				got, bad := scan(t, r)
				require.Len(t, bad, 1)
				require.Equal(t, corrupt.DataBlock, bad[0].Kind)
				require.EqualValues(t, e.off, bad[0].Off)
				require.Equal(t, lo, bad[0].Lo)
				require.Equal(t, hi, bad[0].Hi)
				require.Equal(t, "000001.ldb", bad[0].File)
				checkSurvivors(t, entries, got, bad[0])
				if at%7 == 0 {
					checkGets(t, r, entries, whole, i)
				}
				require.NoError(t, r.Close())
			}
		}
	}
}

// checkSurvivors compares got with the entries outside the lost range.
func checkSurvivors(t *testing.T, entries, got []kv, lost *corrupt.Error) {
	t.Helper()
	i := 0
	for _, e := range entries {
		u := keys.User(e.k)
		if i < len(got) && bytes.Equal(got[i].k, e.k) {
			require.True(t, bytes.Equal(got[i].v, e.v))
			i++
			continue
		}
		require.True(t, (lost.Lo == nil || bytes.Compare(u, lost.Lo) >= 0) && bytes.Compare(u, lost.Hi) <= 0,
			"%s is missing, outside the range that is said to be lost", keys.Format(e.k))
	}
	require.Equal(t, len(got), i)
}

// checkGets reads every key: those of block bad give the error, the others
// their value.
func checkGets(t *testing.T, r *Reader, entries []kv, whole *Reader, bad int) {
	t.Helper()
	var res Result
	for _, e := range entries {
		ok, err := r.Get(e.k, filter.Hash(keys.User(e.k)), &res)
		if whole.idx.seek(whole.cmp, e.k) == bad {
			require.ErrorIs(t, err, corrupt.ErrCorrupt)
			continue
		}
		require.NoError(t, err)
		require.True(t, ok)
		require.True(t, bytes.Equal(e.v, res.Value))
		res.Release()
	}
}

// testFlipMeta flips every bit behind the data blocks: Open fails each time, so
// that a damaged filter never answers.
func testFlipMeta(t *testing.T) {
	clean, _ := smallTable(t, Snappy, 1)
	c := newCache(t, 1<<20)
	whole := open(t, fileOf(clean), c)
	last := whole.idx.entries[whole.idx.n-1]
	start := int(last.off) + int(last.size) + trailerLen
	for bit := start * 8; bit < len(clean)*8; bit++ {
		b := bytes.Clone(clean)
		b[bit/8] ^= 1 << (bit % 8)
		r, err := Open(fileOf(b), &ReaderOptions{Cache: c, FileName: "000001.ldb"})
		var e *corrupt.Error
		require.ErrorAs(t, err, &e, "bit %d of byte %#x", bit%8, bit/8)
		require.Nil(t, r)
	}
}

func testSize(t *testing.T) {
	clean, _ := smallTable(t, Snappy, 1)
	c := newCache(t, 1<<20)
	for _, b := range [][]byte{nil, clean[:10], clean[:len(clean)-1], clean[:len(clean)/2], append(bytes.Clone(clean), 0),
		append(bytes.Clone(clean), clean...)} {
		_, err := Open(fileOf(b), &ReaderOptions{Cache: c, FileName: "000009.ldb", Size: int64(len(clean))})
		require.ErrorIs(t, err, corrupt.ErrCorrupt)
		require.ErrorContains(t, err, "000009.ldb")
		require.ErrorContains(t, err, fmt.Sprintf("%d bytes, want %d", len(b), len(clean)))
	}
	for n := range clean {
		_, err := Open(fileOf(clean[:n]), &ReaderOptions{Cache: c, FileName: "000009.ldb"})
		require.ErrorIs(t, err, corrupt.ErrCorrupt, "cut at %d", n)
	}
}

func testIdentity(t *testing.T) {
	b, entries := smallTable(t, Snappy, 5)
	c := newCache(t, 1<<20)
	_, err := Open(fileOf(b), &ReaderOptions{Cache: c, FileName: "000006.ldb", FileNum: 6})
	require.ErrorIs(t, err, corrupt.ErrCorrupt)
	require.ErrorContains(t, err, "this is table 5 under the name of table 6")
	r, err := Open(fileOf(b), &ReaderOptions{Cache: c, FileName: "000005.ldb", FileNum: 5})
	require.NoError(t, err)
	require.NoError(t, r.CheckBounds(entries[0].k, entries[len(entries)-1].k))
	require.ErrorIs(t, r.CheckBounds(entries[0].k, entries[0].k), corrupt.ErrCorrupt)
	require.NoError(t, r.Close())
}

func testReadError(t *testing.T) {
	b, entries := smallTable(t, Snappy, 1)
	c := newCache(t, 1<<20)
	f := fileOf(b)
	r := open(t, f, c)
	f.readErr = syscall.EIO
	var res Result
	_, err := r.Get(entries[0].k, filter.Hash(keys.User(entries[0].k)), &res)
	require.ErrorIs(t, err, syscall.EIO)
	require.NotErrorIs(t, err, corrupt.ErrCorrupt, "the bytes may be fine")
	for _, o := range []*IterOptions{{NoCache: true}, nil} {
		it := r.NewIter(o)
		require.False(t, it.First())
		require.ErrorIs(t, it.Err(), syscall.EIO)
		require.False(t, it.Next())
		f.readErr = nil
		require.True(t, it.First(), "a move tries again")
		f.readErr = syscall.EIO
		for it.Next() {
		}
		require.ErrorIs(t, it.Close(), syscall.EIO)
	}
	f.readErr = nil
	ok, err := r.Get(entries[0].k, filter.Hash(keys.User(entries[0].k)), &res)
	require.NoError(t, err)
	require.True(t, ok)
	res.Release()
}

// testSIGBUS truncates a mapped table under its reader.
func testSIGBUS(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be truncated there")
	}
	dir := t.TempDir()
	entries := testEntries(rand.New(rand.NewPCG(1, 9)), 3000)
	for _, comp := range []Compression{None, Snappy} {
		path := filepath.Join(dir, "000001.ldb")
		require.NoError(t, os.WriteFile(path, build(t, &WriterOptions{Compression: comp}, entries).Bytes(), 0o644))
		d, err := vfs.OS().OpenDir(dir, false)
		require.NoError(t, err)
		f, err := d.Open("000001.ldb")
		require.NoError(t, err)
		if _, ok := f.(vfs.Mapper); !ok {
			t.Skip("no mapping on this system")
		}
		c := newCache(t, 1<<20)
		r, err := Open(f, &ReaderOptions{Cache: c, FileName: "000001.ldb", Mmap: true})
		require.NoError(t, err)
		last := entries[len(entries)-1].k
		var held Result
		ok, err := r.Get(last, 0, &held)
		require.NoError(t, err)
		require.True(t, ok)
		require.NoError(t, os.Truncate(path, 0))

		var res Result
		for _, k := range [][]byte{entries[10].k, last} {
			if comp == Snappy && bytes.Equal(k, last) {
				continue // in the cache
			}
			_, err = r.Get(k, 0, &res)
			require.ErrorIs(t, err, corrupt.ErrCorrupt)
		}
		if comp == None && len(held.Value) > 0 {
			_, err = held.AppendTo(nil)
			require.ErrorIs(t, err, corrupt.ErrCorrupt)
		}
		held.Release()
		it := r.NewIter(nil)
		require.False(t, it.First())
		require.ErrorIs(t, it.Close(), corrupt.ErrCorrupt)
		require.NoError(t, r.Close())
		require.NoError(t, d.Close())
	}
}

func testComparerMismatch(t *testing.T) {
	b, _ := smallTable(t, Snappy, 1)
	c := newCache(t, 1<<20)
	other := &keys.Comparer{Name: "other", Compare: bytes.Compare}
	_, err := Open(fileOf(b), &ReaderOptions{Cache: c, Comparer: other})
	require.ErrorIs(t, err, ErrComparer)
}

// seal returns contents as a stored block of the given type.
func seal(contents []byte, typ byte) []byte {
	b := append(bytes.Clone(contents), typ)
	return binary.LittleEndian.AppendUint32(b, record.Mask(crc32.Checksum(b, castagnoli())))
}

// testBombs stores blocks with right checksums whose claimed size is a lie:
// the error comes before the memory is taken.
func testBombs(t *testing.T) {
	var d Decoder
	zeros := snappy.Encode(nil, make([]byte, 1<<20))
	lie := append(binary.AppendUvarint(nil, 1<<31), zeros[3:]...)
	for _, c := range []struct {
		name     string
		contents []byte
		typ      byte
	}{
		{"snappy claims 2 GiB", lie, blockSnappy},
		{"snappy claims 4 GiB", binary.AppendUvarint(nil, 1<<32), blockSnappy},
		{"snappy cut", zeros[:10], blockSnappy},
		{"snappy empty", nil, blockSnappy},
		{"zstd claims 1 TiB", binary.AppendUvarint(nil, 1<<40), blockZstd},
		{"zstd garbage", append(binary.AppendUvarint(nil, 100), "garbage"...), blockZstd},
		{"zstd expands past its claim", append(binary.AppendUvarint(nil, 10), zstdOf(t, 1<<20)[3:]...), blockZstd},
		{"bare zstd garbage", []byte("garbage"), blockZstdLDB},
		{"unknown type", []byte("x"), 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			contents, typ, err := verify(seal(c.contents, c.typ))
			require.NoError(t, err)
			n, err := decodedLen(contents, typ)
			if err == nil {
				err = d.decode(make([]byte, n), contents, typ)
			}
			require.Error(t, err)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(96<<20))
		})
	}
}

// zstdOf returns the stored contents of n zero bytes.
func zstdOf(t *testing.T, n int) []byte {
	t.Helper()
	e := encoder{kind: Zstd}
	contents, typ, err := e.encode(make([]byte, n))
	require.NoError(t, err)
	require.EqualValues(t, blockZstd, typ)
	return contents
}

// TestNoRoomForIndex opens a table over a cache that is too small for its
// index: that is a lack of memory, not damage, and nothing stays pinned.
func TestNoRoomForIndex(t *testing.T) {
	entries := testEntries(rand.New(rand.NewPCG(1, 9)), 3000)
	f := build(t, &WriterOptions{BlockSize: 100, BitsPerKey: 10}, entries)
	c := newCache(t, 10_000)
	_, err := Open(f, &ReaderOptions{Cache: c})
	require.Error(t, err)
	require.True(t, isNoMemory(err), "%v", err)
	require.False(t, errors.Is(err, corrupt.ErrCorrupt))
	require.Zero(t, c.Stats().Pinned)
}
