package lsm

import "github.com/memlab-go/memlab/lsm/internal/memtable"

// iterParts is what an Iterator is built of, kept from one to the next: an iterator
// for a short scan costs one allocation. Only the outer Iterator is never used
// twice, so that one that is closed stays closed.
type iterParts struct {
	merge    mergeIter
	children []internalIter // in mems and levels
	mems     []memIter
	levels   []levelIter

	key, value, seek, skip []byte // buffers of the Iterator
}

// maxKeptBuffer bounds the buffers that are kept.
const maxKeptBuffer = 64 << 10

// takeParts makes an iterator for each memtable, each file of level 0 and each
// further level of rs, and one that merges them.
func (d *DB) takeParts(rs *readState) *iterParts {
	p, _ := d.iterPool.Get().(*iterParts)
	if p == nil {
		p = new(iterParts)
	}
	v := rs.version
	p.mems = grown(p.mems, len(rs.mems))
	p.levels = grown(p.levels, len(v.levels[0])+numLevels)
	p.children = p.children[:0]
	for i, m := range rs.mems {
		if m.points.Len() > 0 || i == 0 {
			p.mems[i].it, p.mems[i].valid = m.points.Iter(), false
			p.children = append(p.children, &p.mems[i])
		}
	}
	n := 0
	add := func(files []*fileMeta) {
		p.levels[n].init(d, files, false)
		p.children = append(p.children, &p.levels[n])
		n++
	}
	for i := range v.levels[0] {
		add(v.levels[0][i : i+1])
	}
	for _, files := range v.levels[1:] {
		if len(files) > 0 {
			add(files)
		}
	}
	p.merge.init(d.cmp, p.children)
	return p
}

// grown returns s with n elements, those it had with their buffers.
func grown[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	return append(s[:cap(s)], make([]T, n-cap(s))...)
}

// putParts keeps the parts of an iterator whose children are closed, without what
// they refer to.
func (d *DB) putParts(p *iterParts) {
	for i := range p.mems {
		p.mems[i].it = memtable.Iter{}
	}
	for i := range p.levels {
		p.levels[i].init(nil, nil, false)
	}
	clear(p.children)
	for _, b := range []*[]byte{&p.key, &p.value, &p.seek, &p.skip} {
		if cap(*b) > maxKeptBuffer {
			*b = nil
		}
	}
	d.iterPool.Put(p)
}
