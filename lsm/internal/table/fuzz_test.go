package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// FuzzBlock walks any bytes as a block, in every direction: no panic, an end,
// and forward and backward agree.
func FuzzBlock(f *testing.F) {
	b := blockBuilder{interval: 2}
	for _, u := range []string{"a", "ab", "abc", "b"} {
		b.add(keys.Make([]byte(u), 5, keys.KindSet), []byte("value of "+u))
	}
	f.Add(bytes.Clone(b.finish()), keys.Make([]byte("ab"), 5, keys.KindSeek))
	f.Add([]byte{0, 0, 0, 0}, keys.Make(nil, 1, keys.KindSeek))
	f.Fuzz(func(t *testing.T, data, seek []byte) {
		var it blockIter
		if it.init(data, keys.Bytewise()) != nil {
			return
		}
		forward, backward := 0, 0
		for ok := it.first(); ok; ok = it.next() {
			forward++
		}
		whole := it.err == nil
		if it.init(data, keys.Bytewise()) != nil {
			return
		}
		for ok := it.last(); ok && backward <= len(data); ok = it.prev() {
			backward++
		}
		if backward > len(data) {
			t.Fatal("backward does not end")
		}
		_ = whole && forward == backward // restart points of garbage need not agree
		if len(seek) < keys.TrailerLen {
			return
		}
		if it.init(data, keys.Bytewise()) == nil {
			it.seekGE(seek)
		}
		if it.init(data, keys.Bytewise()) == nil {
			it.seekLT(seek)
		}
		if d, restarts, err := parseBlock(data); err == nil {
			var res Result
			searchBytes(d, restarts, seek, &res)
		}
	})
}

// FuzzFooter decodes any footer; a good one encodes to one that decodes alike.
func FuzzFooter(f *testing.F) {
	f.Add(appendFooter(nil, handle{100, 20}, handle{130, 40}), int64(400))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if len(b) != footerLen {
			return
		}
		meta, index, err := decodeFooter(b, size)
		if err != nil {
			return
		}
		m, i, err := decodeFooter(appendFooter(nil, meta, index), size)
		if err != nil || m != meta || i != index {
			t.Fatalf("%v %v became %v %v: %v", meta, index, m, i, err)
		}
	})
}

// FuzzTable puts any bytes, with right checksums, where the blocks of a table
// are, and reads it: no panic, and iteration ends.
func FuzzTable(f *testing.F) {
	c := newCache(f, 1<<20)
	var d Decoder
	block := func(kvs ...string) []byte {
		b := blockBuilder{interval: 1}
		for i := 0; i < len(kvs); i += 2 {
			b.add([]byte(kvs[i]), []byte(kvs[i+1]))
		}
		return bytes.Clone(b.finish())
	}
	k := string(keys.Make([]byte("k"), 1, keys.KindSet))
	data := block(k, "v")
	index := block(k, string(handle{0, uint64(len(data))}.append(nil)))
	f.Add(data, []byte{0, 0, 0, 0, 11}, block(), index, byte(0))
	f.Add(data, []byte{}, block(), block(k, "\x00\x7f"), byte(0))
	f.Add([]byte{}, []byte{}, block(), block(k, "\x00\x00"), byte(0)) // an empty block
	f.Fuzz(func(t *testing.T, data, bloom, props, index []byte, typ byte) {
		var file memFile
		put := func(b []byte, typ byte) string {
			h := handle{uint64(file.Len()), uint64(len(b))}
			_, _ = file.Write(seal(b, typ))
			return string(h.append(nil))
		}
		put(data, typ)
		fh, ph := put(bloom, 0), put(props, 0)
		meta, _, _ := decodeHandle([]byte(put(block(filterKey+filter.PolicyName, fh, propsKey, ph), 0)))
		ih, _, _ := decodeHandle([]byte(put(index, 0)))
		_, _ = file.Write(appendFooter(nil, meta, ih))
		r, err := Open(&file, &ReaderOptions{Cache: c, Decoder: &d})
		if err != nil {
			return
		}
		var res Result
		if _, err := r.Get(keys.Make([]byte("k"), 1, keys.KindSeek), filter.Hash([]byte("k")), &res); err == nil {
			res.Release()
		}
		it := r.NewIter(nil)
		for n, ok := 0, it.First(); ok; n, ok = n+1, it.Next() {
			if n > file.Len() {
				t.Fatal("iteration does not end")
			}
			var res Result
			if _, err := r.Get(it.Key(), filter.Hash(keys.User(it.Key())), &res); err == nil {
				res.Release()
			}
		}
		for n, ok := 0, it.Last(); ok; n, ok = n+1, it.Prev() {
			if n > file.Len() {
				t.Fatal("iteration does not end")
			}
		}
		_ = it.Close() // damage, most of the time
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzSalvage opens any bytes as what is left of a table: no panic, and
// search and iteration end.
func FuzzSalvage(f *testing.F) {
	c := newCache(f, 1<<20)
	var d Decoder
	for _, comp := range []Compression{Snappy, None, Zstd} {
		b, _ := smallTable(f, comp, 3)
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(b[len(b)/3:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _, err := Salvage(fileOf(b), &ReaderOptions{Cache: c, Decoder: &d})
		if err != nil {
			return // the index of what was found has no room
		}
		it := r.NewIter(&IterOptions{OnCorrupt: func(*corrupt.Error) bool { return true }})
		for n, ok := 0, it.First(); ok; n, ok = n+1, it.Next() {
			if n > len(b)*snappyMax {
				t.Fatal("iteration does not end")
			}
		}
		if err := errors.Join(it.Close(), r.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzDecode decompresses any bytes of any type: the result has the length that
// was announced, or there is an error.
func FuzzDecode(f *testing.F) {
	var d Decoder
	for _, kind := range []Compression{Snappy, Zstd} {
		e := encoder{kind: kind}
		contents, typ, err := e.encode(bytes.Repeat([]byte("abc"), 100))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(contents), typ)
	}
	f.Fuzz(func(t *testing.T, b []byte, typ byte) {
		n, err := decodedLen(b, typ)
		if err != nil || n > 1<<22 {
			return
		}
		guarded := make([]byte, n+8)
		binary.LittleEndian.PutUint64(guarded[n:], 0x1122334455667788)
		_ = d.decode(guarded[:n:n], b, typ) // an error is fine
		if binary.LittleEndian.Uint64(guarded[n:]) != 0x1122334455667788 {
			t.Fatal("wrote past the destination")
		}
	})
}
