package lsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/manifest"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// FuzzBatch decodes bytes as a batch from a log: it is refused, or what was read
// can be written again and is the same.
func FuzzBatch(f *testing.F) {
	var b Batch
	b.Put([]byte("key"), []byte("value"))
	b.Delete([]byte("other"))
	b.DeleteRange([]byte("a"), []byte("b"))
	f.Add(b.rep)
	f.Add(b.rep[:len(b.rep)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, rep []byte) {
		_, count, r, err := decodeBatch(rep)
		if err != nil {
			return
		}
		if _, err := checkBatch(r, count); err != nil {
			return
		}
		var again Batch
		for r.next() {
			again.add(r.kind, r.key, r.value)
		}
		if again.count != count {
			t.Fatalf("%d records, written again %d", count, again.count)
		}
	})
}

// fuzzStore makes the store that FuzzOpen and FuzzRepair damage, and adds its files,
// whole and with a wrong bit, as seeds.
func fuzzStore(f *testing.F) *vfs.Mem {
	mem := vfs.NewMem()
	h := crashHistory()
	d, err := Open("db", small(mem))
	if err != nil {
		f.Fatal(err)
	}
	for i := 1; i <= 45; i++ {
		if err := h.step(d, i, OS); err != nil {
			f.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		f.Fatal(err)
	}
	for kind, k := range fuzzKinds() {
		for _, name := range names(f, mem, k) {
			b := contents(f, mem, name)
			f.Add(uint8(kind), b)
			if len(b) > 30 {
				b[len(b)/2] ^= 4
				f.Add(uint8(kind), b)
			}
		}
	}
	return mem
}

func fuzzKinds() []filename.Kind {
	return []filename.Kind{filename.Current, filename.Manifest, filename.Log, filename.Table}
}

// replaceOne returns the store with the first file of a kind replaced.
func replaceOne(t *testing.T, mem *vfs.Mem, kind uint8, b []byte) *vfs.Mem {
	fs := mem.CrashClone(1, 0)
	all := names(t, fs, fuzzKinds()[int(kind)%len(fuzzKinds())])
	if len(all) > 0 {
		rewrite(t, fs, all[0], b)
	}
	return fs
}

// FuzzOpen opens a store one of whose files is replaced: it is refused with an
// error, or it opens and can be read to the end.
func FuzzOpen(f *testing.F) {
	mem := fuzzStore(f)
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		fs := replaceOne(t, mem, kind, b)
		for mode := TornTail; mode <= Salvage; mode++ {
			o := small(fs)
			o.ReadOnly, o.Recovery = true, mode
			d, err := Open("db", o)
			if err != nil {
				continue
			}
			it, err := d.NewIter(nil)
			if err == nil {
				for range it.All() {
				}
				_ = it.Close() // damage may be met here
			}
			_ = d.Check() // and here
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzRepair repairs a store one of whose files is replaced: it opens afterwards, is
// sound, and a second repair finds nothing more.
func FuzzRepair(f *testing.F) {
	mem := fuzzStore(f)
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		fs := replaceOne(t, mem, kind, b)
		first, err := Repair("db", small(fs))
		if err != nil {
			t.Fatalf("repair: %v", err)
		}
		o := small(fs)
		o.Recovery = Strict
		d, err := Open("db", o)
		if err != nil {
			t.Fatalf("opened after the repair: %v", err)
		}
		n := len(contentsOf(t, d))
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		second, err := Repair("db", small(fs))
		if err != nil || second.Damaged() || second.Entries != int64(n) || first.Entries != second.Entries {
			t.Fatalf("%d keys, first repair %+v, second repair %+v: %v", n, first, second, err)
		}
	})
}

// FuzzSealed appends a record with any contents and a right checksum to the MANIFEST or
// to the log, as a writer with a fault or an attacker would: Open refuses it or is
// sound, and so is what Repair makes of it.
func FuzzSealed(f *testing.F) {
	mem := fuzzStore(f)
	num, file := uint64(77), names(f, mem, filename.Table)[0]
	huge, last := ^uint64(0), keys.MaxSeqNum
	for _, e := range []manifest.Edit{
		{LogNum: &num}, {NextFile: &huge}, {PrevLog: &huge}, {LastSeq: new(keys.SeqNum)}, {LastSeq: &last}, {Comparer: &file}, {LogNum: &huge, NextFile: &num},
		{Added: []manifest.TableMeta{{Level: 6, Num: 77, Size: 1, Smallest: keys.Make([]byte("a"), 1, keys.KindSet), Largest: keys.Make([]byte("b"), 1, keys.KindSet)}}},
		{Deleted: []manifest.TableRef{{Level: 1, Num: tableNum(file)}}},
	} {
		f.Add(uint8(1), e.Encode(nil))
	}
	var b Batch
	b.Put([]byte("key"), []byte("value"))
	b.DeleteRange([]byte("b"), []byte("a"))
	for _, seq := range []uint64{0, 1, 200, uint64(keys.MaxSeqNum) - 1, uint64(keys.MaxSeqNum), huge} {
		binary.LittleEndian.PutUint64(b.rep, seq)
		binary.LittleEndian.PutUint32(b.rep[8:], 2)
		f.Add(uint8(0), bytes.Clone(b.rep))
	}
	f.Fuzz(func(t *testing.T, to uint8, rec []byte) {
		kind := filename.Log
		if to%2 == 1 {
			kind = filename.Manifest
		}
		fs := mem.CrashClone(1, 0)
		name := names(t, fs, kind)[0]
		old := contents(t, fs, name)
		var grown bytes.Buffer
		grown.Write(old)
		w := record.NewWriter(&grown, nil, int64(len(old)))
		if err := errors.Join(w.Append(rec), w.Flush()); err != nil {
			t.Fatal(err)
		}
		rewrite(t, fs, name, grown.Bytes())
		for mode := TornTail; mode <= Salvage; mode++ {
			o := small(fs.CrashClone(1, 0))
			o.Recovery = mode
			d, err := Open("db", o)
			if err != nil {
				continue
			}
			for _, err := range []error{d.Put([]byte("after"), []byte("it")), d.Flush(), d.Check(), d.Close()} {
				if err != nil && !errors.Is(err, ErrReadOnly) { // the sequence numbers are used up
					t.Fatalf("%v: %v", mode, err)
				}
			}
		}
		if _, err := Repair("db", small(fs)); err != nil {
			if !errors.Is(err, ErrOptions) { // another comparer's name
				t.Fatal(err)
			}
			return
		}
		if _, err := readAll("db", small(fs)); err != nil {
			t.Fatal(err)
		}
	})
}
