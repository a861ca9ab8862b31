package table

import (
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/corrupt"
)

// A view is a data block in reach: pinned in the cache, or a piece of the
// mapped file.
type view struct {
	data   []byte
	handle cache.Handle // invalid for a piece of the mapping
	mapped bool
}

// block returns data block i.
func (r *Reader) block(i int) (view, error) {
	if h, ok := r.cache.Get(&r.idx.slots[i]); ok {
		return view{data: h.Data(), handle: h}, nil
	}
	if r.mapped != nil {
		if v, ok, err := r.mappedBlock(i); ok || err != nil {
			return v, err
		}
	}
	e := &r.idx.entries[i]
	buf := r.dec.buffer(int(e.size) + trailerLen)
	defer r.dec.giveBack(buf)
	if err := r.readAt(*buf, int64(e.off)); err != nil {
		return view{}, r.lost(i, r.readError(err, corrupt.DataBlock, int64(e.off)))
	}
	return r.install(i, *buf)
}

// install checks and decompresses the stored block b into the cache.
func (r *Reader) install(i int, b []byte) (view, error) {
	contents, typ, err := verify(b)
	if err != nil {
		return view{}, r.damaged(i, err)
	}
	n, err := decodedLen(contents, typ)
	if err == nil && n < minBlock {
		err = fmt.Errorf("block of %d bytes", n)
	}
	if err != nil {
		return view{}, r.damaged(i, err)
	}
	h := r.cache.Alloc(n)
	if err := r.dec.decode(h.Data(), contents, typ); err != nil {
		h.Release()
		return view{}, r.damaged(i, err)
	}
	r.cache.Publish(&r.idx.slots[i], &h)
	return view{data: h.Data(), handle: h}, nil
}

// mappedBlock returns block i of the mapped file itself if it is raw. Its
// checksum is verified the first time; the slot, which such a block does not
// need, notes that.
func (r *Reader) mappedBlock(i int) (v view, ok bool, err error) {
	e := &r.idx.entries[i]
	b := r.mapped[e.off : e.off+uint64(e.size)+trailerLen]
	if !r.idx.slots[i].Marked() {
		raw := false
		fault := guard(func() {
			if raw = b[e.size] == blockRaw; raw {
				_, _, err = verify(b)
			}
		})
		if fault != nil {
			err = fault
		}
		if err != nil {
			return view{}, false, r.damaged(i, err)
		}
		if !raw {
			return view{}, false, nil
		}
		r.idx.slots[i].Mark()
	}
	return view{data: b[:e.size:e.size], mapped: true}, true, nil
}

// damaged reports block i as damaged, with the keys that are lost with it.
func (r *Reader) damaged(i int, err error) error {
	lo, hi := r.idx.span(i)
	return &corrupt.Error{File: r.name, Kind: corrupt.DataBlock, Off: int64(r.idx.entries[i].off), Lo: lo, Hi: hi, Err: err}
}

// lost adds the lost keys to an error about block i.
func (r *Reader) lost(i int, err error) error {
	if e, ok := err.(*corrupt.Error); ok {
		e.Lo, e.Hi = r.idx.span(i)
	}
	return err
}
