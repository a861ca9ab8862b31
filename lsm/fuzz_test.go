package lsm

import (
	"testing"

	"github.com/memlab-go/memlab/lsm/internal/filename"
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

// FuzzOpen opens a store one of whose files is replaced: it is refused with an
// error, or it opens and can be read to the end.
func FuzzOpen(f *testing.F) {
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
	for kind, k := range []filename.Kind{filename.Current, filename.Manifest, filename.Log, filename.Table} {
		for _, name := range names(f, mem, k) {
			b := contents(f, mem, name)
			f.Add(uint8(kind), b)
			if len(b) > 30 {
				b[len(b)/2] ^= 4
				f.Add(uint8(kind), b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		fs := mem.CrashClone(1, 0)
		all := names(t, fs, []filename.Kind{filename.Current, filename.Manifest, filename.Log, filename.Table}[kind%4])
		if len(all) == 0 {
			return
		}
		rewrite(t, fs, all[0], b)
		for _, mode := range []RecoveryMode{TornTail, Salvage} {
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
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
