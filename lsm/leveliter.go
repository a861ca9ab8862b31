package lsm

import (
	"errors"

	"github.com/memlab-go/memlab/lsm/internal/table"
)

// A levelIter walks files that are sorted and share no internal key, as one. It
// opens one at a time. A single file of level 0 is such a sequence too.
type levelIter struct {
	d       *DB
	files   []*fileMeta
	i       int // current file, where open is not nil
	open    *openTable
	it      table.Iterator
	noCache bool
	err     error
}

func newLevelIter(d *DB, files []*fileMeta, noCache bool) *levelIter {
	l := new(levelIter)
	l.init(d, files, noCache)
	return l
}

// init makes l, which is new or closed, an iterator over files. It keeps its
// buffers.
func (l *levelIter) init(d *DB, files []*fileMeta, noCache bool) {
	l.d, l.files, l.noCache, l.i, l.open, l.err = d, files, noCache, -1, nil, nil
}

// load opens file i and reports whether there is one.
func (l *levelIter) load(i int) bool {
	if l.open != nil && l.i == i {
		return true
	}
	if !l.leave() || i < 0 || i >= len(l.files) {
		l.i = i
		return false
	}
	o, err := l.d.tables.get(l.files[i])
	if err != nil {
		l.err = err
		return false
	}
	l.i, l.open = i, o
	l.it.Init(o.reader, &table.IterOptions{NoCache: l.noCache})
	return true
}

// leave closes the current file.
func (l *levelIter) leave() bool {
	if l.open == nil {
		return l.err == nil
	}
	if err := errors.Join(l.it.Close(), l.open.unref()); err != nil && l.err == nil {
		l.err = err
	}
	l.open = nil
	return l.err == nil
}

// forward moves on to the first entry of the next file that has one, unless ok.
func (l *levelIter) forward(ok bool) bool {
	for !ok {
		if l.err = l.it.Err(); l.err != nil || !l.load(l.i+1) {
			return false
		}
		ok = l.it.First()
	}
	return true
}

// backward moves back to the last entry of the file before, unless ok.
func (l *levelIter) backward(ok bool) bool {
	for !ok {
		if l.err = l.it.Err(); l.err != nil || !l.load(l.i-1) {
			return false
		}
		ok = l.it.Last()
	}
	return true
}

func (l *levelIter) First() bool {
	l.err = nil
	return l.load(0) && l.forward(l.it.First())
}

func (l *levelIter) Last() bool {
	l.err = nil
	return l.load(len(l.files)-1) && l.backward(l.it.Last())
}

func (l *levelIter) SeekGE(k []byte) bool {
	l.err = nil
	return l.load(findFile(l.d.cmp, l.files, k)) && l.forward(l.it.SeekGE(k))
}

func (l *levelIter) SeekLT(k []byte) bool {
	l.err = nil
	i := findFile(l.d.cmp, l.files, k) // the first file that reaches k
	if i == len(l.files) {
		return l.Last()
	}
	return l.load(i) && l.backward(l.it.SeekLT(k))
}

func (l *levelIter) Next() bool    { return l.forward(l.it.Next()) }
func (l *levelIter) Prev() bool    { return l.backward(l.it.Prev()) }
func (l *levelIter) Key() []byte   { return l.it.Key() }
func (l *levelIter) Value() []byte { return l.it.Value() }
func (l *levelIter) Err() error    { return l.err }

func (l *levelIter) Close() error {
	l.leave()
	return l.err
}
