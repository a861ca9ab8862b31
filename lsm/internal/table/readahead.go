package table

import (
	"github.com/memlab-go/memlab/lsm/internal/corrupt"
)

const (
	aheadMin   = 16 << 10 // first window
	aheadMax   = 256 << 10
	seqAhead   = 2 // blocks in a row before reading ahead
	seqPrivate = 8 // blocks in a row before leaving the cache alone
)

// fetch returns block i: from the cache, or from the file. A cursor that reads
// block behind block reads ahead, in windows that double; a long scan keeps
// its blocks to itself, so that it does not push out what others use.
func (it *Iterator) fetch(i int) (view, error) {
	r := it.r
	inOrder := i == it.lastI+1
	it.lastI = i
	if h, ok := r.cache.Get(&r.idx.slots[i]); ok {
		return view{data: h.Data(), handle: h}, nil
	}
	if !inOrder {
		it.seq = 0
	}
	it.seq++
	if it.seq <= seqAhead && !it.o.NoCache && r.mapped == nil {
		return r.block(i)
	}
	stored, err := it.stored(i)
	if err != nil {
		return view{}, r.lost(i, r.readError(err, corrupt.DataBlock, int64(r.idx.entries[i].off)))
	}
	if it.seq <= seqPrivate && !it.o.NoCache {
		return r.install(i, stored)
	}
	return it.private(i, stored)
}

// stored returns block i as it is in the file, out of the window.
func (it *Iterator) stored(i int) ([]byte, error) {
	e := &it.r.idx.entries[i]
	n := int64(e.size) + trailerLen
	lo := int64(e.off) - it.aheadAt
	if it.ahead == nil || lo < 0 || lo+n > int64(len(*it.ahead)) {
		want := n
		if it.seq > 1 {
			want = max(n, min(aheadMax, int64(aheadMin)<<min(it.seq/4, 4)))
		}
		want = min(want, it.r.size-int64(e.off))
		if it.ahead != nil {
			it.r.dec.giveBack(it.ahead)
		}
		it.ahead = it.r.dec.buffer(int(want))
		it.aheadAt, lo = int64(e.off), 0
		if err := it.r.readAt(*it.ahead, it.aheadAt); err != nil {
			it.r.dec.giveBack(it.ahead)
			it.ahead = nil
			return nil, err
		}
	}
	return (*it.ahead)[lo : lo+n : lo+n], nil
}

// private decompresses block i into the Iterator's own buffer, or leaves it in
// the window when it is raw.
func (it *Iterator) private(i int, stored []byte) (view, error) {
	contents, typ, err := verify(stored)
	if err != nil {
		return view{}, it.r.damaged(i, err)
	}
	if typ == blockRaw {
		return view{data: contents}, nil
	}
	n, err := decodedLen(contents, typ)
	if err != nil {
		return view{}, it.r.damaged(i, err)
	}
	if it.own != nil && cap(*it.own) >= n {
		*it.own = (*it.own)[:n]
	} else {
		if it.own != nil {
			it.r.dec.giveBack(it.own)
		}
		it.own = it.r.dec.buffer(n)
	}
	if err := it.r.dec.decode(*it.own, contents, typ); err != nil {
		return view{}, it.r.damaged(i, err)
	}
	return view{data: *it.own}, nil
}
