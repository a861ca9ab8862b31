package lsm

import (
	"sync"

	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
)

// Get returns a copy of the value of key, or [ErrNotFound]. It sees every write
// that returned before it was called. Other errors: [ErrClosed], a
// [*CorruptionError], or what the file system said.
func (d *DB) Get(key []byte) ([]byte, error) {
	v, err := d.getAt(nil, key, keys.MaxSeqNum)
	if v == nil && err == nil {
		v = []byte{}
	}
	return v, err
}

// AppendTo appends the value of key to dst and returns the result. It allocates
// nothing when dst has room. On error it returns dst as it was. See [DB.Get].
func (d *DB) AppendTo(dst, key []byte) ([]byte, error) {
	return d.getAt(dst, key, keys.MaxSeqNum)
}

// A getter is the scratch memory of one Get.
type getter struct {
	seek []byte
	hash uint32
	seq  keys.SeqNum
	tomb keys.SeqNum // newest range tombstone over the key, met so far
	res  table.Result
}

func newGetterPool() *sync.Pool { return &sync.Pool{New: func() any { return new(getter) }} }

// getAt appends the value that key had at seq, or at the newest visible one when
// that is older.
func (d *DB) getAt(dst, key []byte, seq keys.SeqNum) ([]byte, error) {
	rs, err := d.acquire()
	if err != nil {
		return dst, err
	}
	defer rs.unref()
	d.counters.gets.Add(1)
	g := d.getters.Get().(*getter)
	defer d.getters.Put(g)
	g.seq, g.tomb = min(seq, keys.SeqNum(d.visible.Load())), 0
	for _, m := range rs.mems {
		if m.ranges.Len() > 0 {
			g.tomb = max(g.tomb, m.tombstones().covering(d.cmp, key, g.seq))
		}
		value, kind, at, ok := m.points.Get(key, uint64(g.seq))
		if ok {
			d.counters.memHits.Add(1)
			if keys.Kind(kind) == keys.KindDelete || keys.SeqNum(at) < g.tomb {
				return dst, ErrNotFound
			}
			return append(dst, value...), nil
		}
	}
	return d.getTables(dst, key, rs.version, g)
}

// getTables looks into the tables, newest first.
func (d *DB) getTables(dst, key []byte, v *version, g *getter) ([]byte, error) {
	g.seek = keys.Append(g.seek[:0], key, g.seq, keys.KindSeek)
	g.hash = filter.Hash(key)
	for _, f := range v.levels[0] {
		if d.cmp.Compare(key, keys.User(f.smallest)) < 0 || d.cmp.Compare(key, keys.User(f.largest)) > 0 {
			continue
		}
		if out, done, err := d.getTable(dst, key, f, g); done {
			return out, err
		}
	}
	for _, files := range v.levels[1:] {
		for i := findFile(d.cmp, files, g.seek); i < len(files); i++ {
			if d.cmp.Compare(key, keys.User(files[i].smallest)) < 0 {
				break
			}
			if out, done, err := d.getTable(dst, key, files[i], g); done {
				return out, err
			}
		}
	}
	return dst, ErrNotFound
}

// getTable looks into one table and reports whether that settles it.
func (d *DB) getTable(dst, key []byte, f *fileMeta, g *getter) (out []byte, done bool, err error) {
	t, err := d.tables.get(f)
	if err != nil {
		return dst, true, err
	}
	defer t.unref()
	if len(t.frags) > 0 {
		g.tomb = max(g.tomb, t.frags.covering(d.cmp, key, g.seq))
	}
	d.counters.tableReads.Add(1)
	found, err := t.reader.Get(g.seek, g.hash, &g.res)
	if err != nil {
		return dst, true, err
	}
	if !found {
		return dst, false, nil
	}
	defer g.res.Release()
	if g.res.Kind == keys.KindDelete || g.res.Seq < g.tomb {
		return dst, true, ErrNotFound
	}
	out, err = g.res.AppendTo(dst)
	return out, true, err
}
