package lsm

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// An Iterator walks the keys of a store in order, as they were when it was made:
// writes, flushes and compactions since do not change what it sees. It begins
// before the first key. Key and Value are views, valid until the next move.
//
// A move reports whether the iterator stands on a key then. When it does not, it
// has gone off an end, where a move the other way comes back to the last or first
// key, or it has met an error, which Err returns and only First, Last and the
// seeks clear.
//
// A step passes over what is deleted, and over old versions of a key: a few one by
// one, the rest by a seek.
//
// An Iterator must be closed, before the store. It is for one goroutine at a time.
// Making one is one allocation where no range was deleted, since its parts are kept
// for the next; steps allocate nothing.
type Iterator struct {
	d            *DB
	rs           *readState
	cmp          *Comparer
	seq          keys.SeqNum
	m            *mergeIter // of parts
	parts        *iterParts
	frags        fragments // of all range tombstones that are visible
	lower, upper []byte

	state iterState
	// Forward, m stands on the current entry. Backward, m stands before all
	// entries of the current key, and the entry is in key and value.
	key, value []byte
	seek       []byte // scratch
	skip       []byte // forward: entries of this user key are passed over
	err        error
}

// An iterState says where an Iterator stands.
type iterState uint8

const (
	beforeFirst iterState = iota
	afterLast
	onForward  // on a key, reached by moving forward
	onBackward // on a key, reached by moving backward
	closedIter
)

// NewIter returns an iterator over the keys within the bounds of o. The error is
// [ErrClosed], [ErrBadRange] for bounds in the wrong order, or what opening a table
// said.
func (d *DB) NewIter(o *IterOptions) (*Iterator, error) {
	return d.newIter(o, keys.MaxSeqNum)
}

func (d *DB) newIter(o *IterOptions, seq keys.SeqNum) (*Iterator, error) {
	if err := d.openIter(); err != nil {
		return nil, err
	}
	it, err := d.makeIter(o, seq)
	if err != nil {
		d.openIters.Add(-1)
	}
	return it, err
}

// makeIter makes an iterator that is counted already.
func (d *DB) makeIter(o *IterOptions, seq keys.SeqNum) (*Iterator, error) {
	rs, err := d.acquire()
	if err != nil {
		return nil, err
	}
	it := &Iterator{d: d, rs: rs, cmp: d.cmp, seq: min(seq, keys.SeqNum(d.visible.Load()))}
	if o != nil {
		it.lower, it.upper = bytes.Clone(o.LowerBound), bytes.Clone(o.UpperBound)
		if o.LowerBound != nil && o.UpperBound != nil && d.cmp.Compare(it.lower, it.upper) > 0 {
			rs.unref()
			return nil, fmt.Errorf("%w: lower bound %q, upper bound %q", ErrBadRange, it.lower, it.upper)
		}
	}
	if it.frags, err = d.visibleTombstones(rs, it.seq); err != nil {
		rs.unref()
		return nil, err
	}
	p := d.takeParts(rs)
	it.parts, it.m = p, &p.merge
	it.key, it.value, it.seek, it.skip = p.key[:0], p.value[:0], p.seek[:0], p.skip[:0]
	return it, nil
}

// visibleTombstones gathers the range tombstones that a reader at seq sees.
func (d *DB) visibleTombstones(rs *readState, seq keys.SeqNum) (fragments, error) {
	var ts []tombstone
	for _, m := range rs.mems {
		ts = append(ts, m.tombstones().tombstones()...)
	}
	for _, f := range rs.version.ranged {
		frags, err := d.tables.tombstones(f)
		if err != nil {
			return nil, err
		}
		ts = append(ts, frags.tombstones()...)
	}
	n := 0
	for _, t := range ts {
		if t.seq <= seq {
			ts[n] = t
			n++
		}
	}
	return fragment(d.cmp, ts[:n]), nil
}

// First moves to the first key.
func (it *Iterator) First() bool {
	if it.lower != nil {
		return it.SeekGE(it.lower)
	}
	if !it.begin() {
		return false
	}
	it.m.First()
	return it.forward(false)
}

// Last moves to the last key.
func (it *Iterator) Last() bool {
	if it.upper != nil {
		return it.SeekLT(it.upper)
	}
	if !it.begin() {
		return false
	}
	it.m.Last()
	return it.backward()
}

// SeekGE moves to the first key at or after key.
func (it *Iterator) SeekGE(key []byte) bool {
	if !it.begin() {
		return false
	}
	if it.lower != nil && it.cmp.Compare(key, it.lower) < 0 {
		key = it.lower
	}
	it.seek = keys.Append(it.seek[:0], key, it.seq, keys.KindSeek)
	it.m.SeekGE(it.seek)
	return it.forward(false)
}

// SeekLT moves to the last key before key.
func (it *Iterator) SeekLT(key []byte) bool {
	if !it.begin() {
		return false
	}
	if it.upper != nil && it.cmp.Compare(key, it.upper) > 0 {
		key = it.upper
	}
	it.seek = keys.Append(it.seek[:0], key, keys.MaxSeqNum, keys.KindSeek)
	it.m.SeekLT(it.seek)
	return it.backward()
}

// begin readies the iterator for an absolute move.
func (it *Iterator) begin() bool {
	if it.state == closedIter {
		it.err = ErrClosed
		return false
	}
	it.err = nil
	return true
}

// Next moves to the following key; from before the first, to the first.
func (it *Iterator) Next() bool {
	switch it.state {
	case onForward:
		it.skip = append(it.skip[:0], keys.User(it.m.Key())...)
		it.m.Next()
		return it.forward(true)
	case onBackward:
		it.skip = append(it.skip[:0], it.key...)
		it.seek = keys.Append(it.seek[:0], it.key, 0, 0)
		it.m.SeekGE(it.seek)
		return it.forward(true)
	case beforeFirst:
		return it.err == nil && it.First()
	}
	return false
}

// Prev moves to the key before; from after the last, to the last.
func (it *Iterator) Prev() bool {
	switch it.state {
	case onForward:
		it.seek = keys.Append(it.seek[:0], keys.User(it.m.Key()), keys.MaxSeqNum, keys.KindSeek)
		it.m.SeekLT(it.seek)
		return it.backward()
	case onBackward:
		return it.backward()
	case afterLast:
		return it.err == nil && it.Last()
	}
	return false
}

// maxSteps is how many entries of one user key are passed over step by step, before
// a seek takes the rest. A key that is written often has thousands of them.
const maxSteps = 8

// forward finds, from where m stands on, the next key that is there. With
// skipping, entries of the user key it.skip are passed over.
func (it *Iterator) forward(skipping bool) bool {
	n := 0 // entries in a row that were passed over, all of it.skip
	for it.m.Valid() {
		ikey := it.m.Key()
		user, t := keys.User(ikey), keys.TrailerOf(ikey)
		if it.upper != nil && it.cmp.Compare(user, it.upper) >= 0 {
			break
		}
		seq := keys.SeqNum(t >> 8)
		same := (skipping || n > 0) && bytesOrCompareEqual(it.cmp, user, it.skip)
		switch {
		case same && skipping:
			n = it.pass(n, 0, 0)
		case seq > it.seq:
			if !same {
				it.skip = append(it.skip[:0], user...)
				skipping, n = false, 0
			}
			n = it.pass(n, it.seq, keys.KindSeek)
		case keys.Kind(t) == keys.KindDelete || it.frags.covering(it.cmp, user, it.seq) > seq:
			it.skip = append(it.skip[:0], user...)
			skipping = true
			n = it.pass(0, 0, 0)
		default:
			it.state = onForward
			return true
		}
	}
	return it.stop(afterLast)
}

// pass goes on by one entry, or, after maxSteps, to the first one of it.skip that
// is not newer than seq and kind. It returns the entries passed so far.
func (it *Iterator) pass(n int, seq keys.SeqNum, kind keys.Kind) int {
	if n < maxSteps {
		it.m.Next()
		return n + 1
	}
	it.seek = keys.Append(it.seek[:0], it.skip, seq, kind)
	it.m.SeekGE(it.seek)
	return 1
}

// bytesOrCompareEqual reports whether two user keys are the same.
func bytesOrCompareEqual(cmp *Comparer, a, b []byte) bool {
	if cmp.IsBytewise() {
		return bytes.Equal(a, b)
	}
	return cmp.Compare(a, b) == 0
}

// backward finds, from where m stands back, the key before that is there. It
// walks the entries of a key from the oldest to the newest that is visible, and
// notices that it has them all when it meets another key. Of a key with many
// entries it seeks the newest.
func (it *Iterator) backward() bool {
	have := false // value holds the newest visible entry of key so far
	for n := 0; it.m.Valid(); {
		ikey := it.m.Key()
		user := keys.User(ikey)
		if n == 0 || !bytesOrCompareEqual(it.cmp, user, it.key) {
			if have || it.lower != nil && it.cmp.Compare(user, it.lower) < 0 {
				break
			}
			it.key, n = append(it.key[:0], user...), 0
		}
		if n++; n > maxSteps {
			have, n = it.newest(), 0
			if have {
				break
			}
			continue
		}
		if keys.SeqOf(ikey) <= it.seq {
			have = it.take(ikey)
		}
		it.m.Prev()
	}
	if have && it.m.Err() == nil {
		it.state = onBackward
		return true
	}
	return it.stop(beforeFirst)
}

// newest goes from any entry of it.key to the one before all of them, and takes the
// newest visible one on the way. It reports whether there is one.
func (it *Iterator) newest() bool {
	it.seek = keys.Append(it.seek[:0], it.key, it.seq, keys.KindSeek)
	have := it.m.SeekGE(it.seek) && bytesOrCompareEqual(it.cmp, keys.User(it.m.Key()), it.key) && it.take(it.m.Key())
	if it.m.Err() != nil {
		return false
	}
	it.seek = keys.Append(it.seek[:0], it.key, keys.MaxSeqNum, keys.KindSeek)
	it.m.SeekLT(it.seek)
	return have
}

// take copies the value of the entry that m stands on, of internal key ikey, unless
// the entry says that there is none.
func (it *Iterator) take(ikey []byte) bool {
	if keys.KindOf(ikey) == keys.KindDelete || it.frags.covering(it.cmp, keys.User(ikey), it.seq) > keys.SeqOf(ikey) {
		return false
	}
	it.value = append(it.value[:0], it.m.Value()...)
	return true
}

// stop leaves the iterator off an end, or at the error that m met.
func (it *Iterator) stop(s iterState) bool {
	it.state = s
	it.err = it.m.Err()
	return false
}

// Valid reports whether the iterator stands on a key.
func (it *Iterator) Valid() bool { return it.state == onForward || it.state == onBackward }

// Key returns the current key, nil if there is none.
func (it *Iterator) Key() []byte {
	switch it.state {
	case onForward:
		return keys.User(it.m.Key())
	case onBackward:
		return it.key[:len(it.key):len(it.key)]
	}
	return nil
}

// Value returns the current value, nil if there is none.
func (it *Iterator) Value() []byte {
	switch it.state {
	case onForward:
		v := it.m.Value()
		return v[:len(v):len(v)]
	case onBackward:
		return it.value[:len(it.value):len(it.value)]
	}
	return nil
}

// Err returns the error that stopped the iterator, or nil at an end.
func (it *Iterator) Err() error { return it.err }

// All walks from the first key to the last. An error ends it early: see Err.
func (it *Iterator) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for ok := it.First(); ok; ok = it.Next() {
			if !yield(it.Key(), it.Value()) {
				return
			}
		}
	}
}

// Close lets go of what the iterator sees and returns the error that stopped it,
// if any. It may be called twice.
func (it *Iterator) Close() error {
	if it.state == closedIter {
		return nil
	}
	it.state = closedIter
	err := it.m.Close()
	if it.err == nil {
		it.err = err
	}
	p := it.parts
	p.key, p.value, p.seek, p.skip = it.key, it.value, it.seek, it.skip
	it.key, it.value, it.seek, it.skip, it.parts, it.m = nil, nil, nil, nil, nil, nil
	it.d.putParts(p)
	it.rs.unref()
	it.d.openIters.Add(-1)
	return it.err
}
