package table

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// goldenEntries are what the stored tables of this format hold.
func goldenEntries() []kv {
	var out []kv
	for i := range 100 {
		user := fmt.Appendf(nil, "key%04d", 3*i)
		out = append(out, kv{keys.Make(user, keys.SeqNum(200-i), keys.KindSet), bytes.Repeat([]byte{'a' + byte(i%26)}, i)})
		if i%10 == 0 {
			out = append(out, kv{keys.Make(user, 5, keys.KindDelete), nil})
		}
	}
	return out
}

func goldenOptions(c Compression) *WriterOptions {
	return &WriterOptions{BlockSize: 512, RestartInterval: 4, BitsPerKey: 10, Compression: c, FileNum: 12}
}

// TestGoldenTables reads tables that released versions wrote: they must be
// readable for ever. With -rewrite it writes those of today's format.
func TestGoldenTables(t *testing.T) {
	rewrite := flag.Lookup("rewrite").Value.String() == "true"
	for _, c := range []Compression{Snappy, None, Zstd} {
		path := filepath.Join("testdata", fmt.Sprintf("v1-%v.ldb", c))
		if rewrite {
			require.NoError(t, os.WriteFile(path, build(t, goldenOptions(c), goldenEntries()).Bytes(), 0o644))
		}
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		r := open(t, fileOf(b), newCache(t, 1<<20))
		got, bad := scan(t, r)
		require.Empty(t, bad)
		require.Equal(t, len(goldenEntries()), len(got))
		for i, e := range goldenEntries() {
			require.Equal(t, e.k, got[i].k)
			require.True(t, bytes.Equal(e.v, got[i].v))
			checkGet(t, r, e.k, got, i)
		}
		require.EqualValues(t, 12, r.Properties().FileNum)
		if c == None { // no library between us and the bytes
			require.Equal(t, b, build(t, goldenOptions(c), goldenEntries()).Bytes(), "the format has changed")
		}
	}
}

// TestLevelDBTable reads a table that C++ LevelDB 1.23 wrote, with its filter:
// 60 puts, of which each fifth is followed by a deletion of an earlier key.
func TestLevelDBTable(t *testing.T) {
	b, err := os.ReadFile("testdata/leveldb-cpp.ldb")
	require.NoError(t, err)
	r := open(t, fileOf(b), newCache(t, 1<<20))
	require.True(t, r.idx.hasBloom)
	require.False(t, r.Properties().Present)
	const n = 60
	live := map[string]string{}
	for i := range n {
		live[fmt.Sprintf("key%06d", i*7919%n)] = fmt.Sprintf("value-%d-%0*d", i, i%90+1, i)
		if i%5 == 4 {
			delete(live, fmt.Sprintf("key%06d", (i-2)*7919%n))
		}
	}
	for i := range n {
		user := fmt.Sprintf("key%06d", i)
		var res Result
		ok, err := r.Get(keys.Make([]byte(user), keys.MaxSeqNum, keys.KindSeek), filter.Hash([]byte(user)), &res)
		require.NoError(t, err)
		require.True(t, ok, user)
		want, isLive := live[user]
		require.Equal(t, isLive, res.Kind == keys.KindSet, user)
		require.Equal(t, want, string(res.Value))
		res.Release()
	}
	absent := 0
	for i := range 1000 {
		if !r.idx.mayContain(0, filter.Hash(fmt.Appendf(nil, "other%d", i))) {
			absent++
		}
	}
	require.Greater(t, absent, 950)
}

// TestLayout draws small tables byte range by byte range.
func TestLayout(t *testing.T) {
	datadriven.RunTest(t, "testdata/layout.txt", func(t *testing.T, d *datadriven.TestData) string {
		o := &WriterOptions{Compression: None, BlockSize: 60, RestartInterval: 2, FileNum: 3}
		for _, a := range d.CmdArgs {
			if a.Key == "bloom" {
				o.BitsPerKey = 10
			}
		}
		var f memFile
		w := NewWriter(&f, o)
		for line := range strings.Lines(d.Input) {
			var user, value string
			var seq uint64
			kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			_, err := fmt.Sscan(rest, &user, &seq, &value)
			switch kind {
			case "set":
				err = w.Add(keys.Make([]byte(user), keys.SeqNum(seq), keys.KindSet), []byte(value))
			case "del":
				err = w.Add(keys.Make([]byte(user), keys.SeqNum(seq), keys.KindDelete), nil)
			case "range":
				err = w.AddRangeDelete([]byte(user), []byte(value), keys.SeqNum(seq))
			}
			if err != nil {
				return err.Error() + "\n"
			}
		}
		if _, err := w.Finish(); err != nil {
			return err.Error() + "\n"
		}
		return drawTable(t, f.Bytes())
	})
}

// drawTable lists the blocks of a table that is not compressed.
func drawTable(t *testing.T, b []byte) string {
	t.Helper()
	var sb strings.Builder
	meta, index, err := decodeFooter(b[len(b)-footerLen:], int64(len(b)))
	require.NoError(t, err)
	block := func(name string, h handle, internal bool) {
		fmt.Fprintf(&sb, "%#05x  %s, %d bytes, crc %x\n", h.off, name, h.size, b[h.off+h.size+1:h.off+h.size+5])
		data, restarts, err := parseBlock(b[h.off : h.off+h.size])
		require.NoError(t, err)
		var key []byte
		for off := 0; off < len(data); {
			e, ok := decodeEntry(data, off)
			require.True(t, ok)
			key = append(key[:e.shared], data[e.key:e.value()]...)
			text := fmt.Sprintf("%q", key)
			if internal {
				text = keys.Format(key)
			}
			fmt.Fprintf(&sb, "       +%#04x  shares %d  %s = %q\n", off, e.shared, text, data[e.value():e.end()])
			off = e.end()
		}
		for i := range len(restarts) / 4 {
			fmt.Fprintf(&sb, "       restart %d at +%#04x\n", i, restartAt(restarts, i))
		}
	}
	var it blockIter
	require.NoError(t, it.init(b[index.off:index.off+index.size], keys.Bytewise()))
	for ok := it.first(); ok; ok = it.next() {
		h, _, err := decodeHandle(it.val)
		require.NoError(t, err)
		block("data", h, true)
	}
	require.NoError(t, it.init(b[meta.off:meta.off+meta.size], nil))
	for ok := it.first(); ok; ok = it.next() {
		h, _, err := decodeHandle(it.val)
		require.NoError(t, err)
		if strings.HasPrefix(string(it.key), filterKey) {
			fmt.Fprintf(&sb, "%#05x  filter, %d bytes: %x\n", h.off, h.size, b[h.off:h.off+h.size])
			continue
		}
		block(string(it.key), h, string(it.key) == rangeKey)
	}
	block("metaindex", meta, false)
	block("index", index, true)
	fmt.Fprintf(&sb, "%#05x  footer: %x\n", len(b)-footerLen, b[len(b)-footerLen:])
	return sb.String()
}
