package table

import (
	"errors"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
)

// IterOptions says how an Iterator reads. Zero fields mean the defaults.
type IterOptions struct {
	// OnCorrupt is called with each damaged data block. If it returns true the
	// Iterator goes on behind the block; otherwise, and when it is nil, the
	// Iterator stops with the error.
	OnCorrupt func(*corrupt.Error) bool

	// NoCache keeps the blocks that had to be read out of the cache, as a
	// compaction wants it.
	NoCache bool
}

// An Iterator is a cursor over the entries of a table in the order of internal
// keys. Not safe for concurrent use. Key and Value stay valid until the next
// move. Steps allocate nothing once its buffers have grown.
type Iterator struct {
	r   *Reader
	o   IterOptions
	i   int // current block; -1 or n when there is none
	v   view
	in  blockIter // in block i
	err error

	ahead   *[]byte // file bytes read ahead
	aheadAt int64   // where they begin
	own     *[]byte // the current block, when it is not in the cache
	seq     int     // blocks read from the file one behind the other
	lastI   int     // block that was loaded last
}

// NewIter returns an Iterator that stands nowhere. It must be closed before the
// Reader.
func (r *Reader) NewIter(o *IterOptions) *Iterator {
	it := &Iterator{}
	it.Init(r, o)
	return it
}

// Init makes it, which must be new or closed, a cursor of r. It keeps its
// buffers.
func (it *Iterator) Init(r *Reader, o *IterOptions) {
	it.r, it.o = r, IterOptions{}
	if o != nil {
		it.o = *o
	}
	it.i, it.lastI, it.seq, it.err = -1, -2, 0, nil
	it.in.off = -1
}

// Valid reports whether the Iterator stands on an entry.
func (it *Iterator) Valid() bool { return it.in.off >= 0 }

// Key returns the current internal key.
func (it *Iterator) Key() []byte { return it.in.key }

// Value returns the current value.
func (it *Iterator) Value() []byte { return it.in.val }

// Err returns what stopped the Iterator, or nil.
func (it *Iterator) Err() error { return it.err }

// First moves to the first entry.
func (it *Iterator) First() bool { return it.start(0) && it.forward(it.in.first()) }

// Last moves to the last entry.
func (it *Iterator) Last() bool {
	return it.start(it.r.idx.n-1) && it.backward(it.in.last())
}

// SeekGE moves to the first entry at or after the internal key.
func (it *Iterator) SeekGE(ikey []byte) bool {
	return it.start(it.r.idx.seek(it.r.cmp, ikey)) && it.forward(it.in.seekGE(ikey))
}

// SeekLT moves to the last entry before the internal key.
func (it *Iterator) SeekLT(ikey []byte) bool {
	i := it.r.idx.seek(it.r.cmp, ikey)
	if i == it.r.idx.n {
		return it.Last()
	}
	return it.start(i) && it.backward(it.in.seekLT(ikey))
}

// Next moves on by one entry. It is false, and changes nothing, when the
// Iterator stands nowhere.
func (it *Iterator) Next() bool {
	if it.in.off < 0 {
		return false
	}
	if it.in.next() {
		return true
	}
	return it.forward(false)
}

// Prev moves back by one entry. It is false, and changes nothing, when the
// Iterator stands nowhere.
func (it *Iterator) Prev() bool {
	if it.in.off < 0 {
		return false
	}
	if it.in.prev() {
		return true
	}
	return it.backward(false)
}

// start clears the error and goes to block i. It is true unless there is no
// such block; a block that cannot be read leaves an empty cursor with an error,
// for forward or backward to deal with.
func (it *Iterator) start(i int) bool {
	it.err = nil
	if i < 0 || i >= it.r.idx.n {
		it.leave()
		it.i = i
		return false
	}
	it.load(i)
	return true
}

// forward finishes a move: ok says that the cursor stands on an entry of the
// current block; otherwise the next blocks are tried.
func (it *Iterator) forward(ok bool) bool {
	for !ok {
		if !it.passDamage() {
			return false
		}
		if it.i+1 >= it.r.idx.n {
			it.leave()
			return false
		}
		it.load(it.i + 1)
		ok = it.in.first()
	}
	return true
}

// backward is forward the other way.
func (it *Iterator) backward(ok bool) bool {
	for !ok {
		if !it.passDamage() {
			return false
		}
		if it.i == 0 {
			it.leave()
			return false
		}
		it.load(it.i - 1)
		ok = it.in.last()
	}
	return true
}

// passDamage reports whether the Iterator may go on to another block: the
// current one is sound, or its damage is accepted.
func (it *Iterator) passDamage() bool {
	if it.in.err != nil {
		if it.err == nil {
			it.err = it.r.damaged(it.i, it.in.err)
		}
		it.in.err = nil
	}
	if it.err == nil {
		return true
	}
	var e *corrupt.Error
	if it.o.OnCorrupt != nil && errors.As(it.err, &e) && it.o.OnCorrupt(e) {
		it.err = nil
		return true
	}
	it.leave()
	return false
}

// leave stands nowhere.
func (it *Iterator) leave() {
	it.v.handle.Release()
	it.v = view{}
	it.in.data, it.in.restarts = nil, nil
	it.in.none()
}

// load makes block i the current one. On error the cursor is empty and it.err
// is set.
func (it *Iterator) load(i int) {
	if i == it.i && it.v.data != nil && it.in.err == nil {
		it.in.none()
		return
	}
	it.v.handle.Release()
	it.i = i
	v, err := it.fetch(i)
	if err == nil {
		err = it.in.init(v.data, it.r.cmp)
		if err != nil {
			err = it.r.damaged(i, err)
		}
	}
	it.v = v
	if err != nil {
		it.leave()
		it.i, it.err = i, err
	}
}

// Close gives everything back. It returns the Iterator's error, if any.
func (it *Iterator) Close() error {
	if it.r == nil {
		return it.err
	}
	it.leave()
	for _, p := range []*[]byte{it.ahead, it.own} {
		if p != nil {
			it.r.dec.giveBack(p)
		}
	}
	it.ahead, it.own, it.r = nil, nil, nil
	return it.err
}
