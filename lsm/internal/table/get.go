package table

import (
	"bytes"
	"encoding/binary"

	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// A Result is what [Reader.Get] found. It may pin a block: release it once. The
// zero Result is empty and may be released.
type Result struct {
	Kind keys.Kind
	Seq  keys.SeqNum

	// Value is a view of the block, dead after Release. Copy it with
	// [Result.AppendTo] when the table may be mapped: only that survives a file
	// that was truncated under us.
	Value []byte

	handle cache.Handle
	file   string // for the error of a fault; set for views of a mapping
	mapped bool
}

// AppendTo appends a copy of the value to dst. Its error is a
// [*corrupt.Error]: the mapped file lost the page.
func (res *Result) AppendTo(dst []byte) ([]byte, error) {
	if !res.mapped {
		return append(dst, res.Value...), nil
	}
	n := len(dst)
	dst = append(dst, make([]byte, len(res.Value))...)
	if err := guard(func() { copy(dst[n:], res.Value) }); err != nil {
		return dst[:n], &corrupt.Error{File: res.file, Kind: corrupt.DataBlock, Off: -1, Err: err}
	}
	return dst, nil
}

// Release unpins the block.
func (res *Result) Release() {
	res.handle.Release()
	*res = Result{}
}

// Get looks for the newest entry of seek's user key whose sequence number is at
// most seek's, and reports whether there is one; seek is an internal key, of
// kind [keys.KindSeek]. hash is [filter.Hash] of the user key. A tombstone counts as
// found. Range tombstones are not looked at. Get allocates nothing.
func (r *Reader) Get(seek []byte, hash uint32, res *Result) (bool, error) {
	i := r.idx.seek(r.cmp, seek)
	if i == r.idx.n || !r.idx.mayContain(i, hash) {
		return false, nil
	}
	for ; i < r.idx.n; i++ {
		v, err := r.block(i)
		if err != nil {
			return false, err
		}
		state, err := r.search(v, seek, res)
		if err != nil {
			v.handle.Release()
			return false, r.damaged(i, err)
		}
		if state == found {
			res.handle, res.mapped, res.file = v.handle, v.mapped, r.name
			return true, nil
		}
		v.handle.Release()
		if state == absent {
			return false, nil
		}
		// The entry may be the first of the next block. LevelDB's separators
		// exclude that, another comparer's need not.
	}
	return false, nil
}

// A state is what a search in one block found out.
type state int

const (
	absent  state = iota // an entry behind the key was seen
	found                // the entry is here
	behind               // all entries are before the key
	unclear              // the fast search cannot tell
)

// search looks for seek in one block, guarding against faults if it is mapped.
func (r *Reader) search(v view, seek []byte, res *Result) (s state, err error) {
	if !v.mapped {
		return r.searchBlock(v.data, seek, res)
	}
	fault := guard(func() { s, err = r.searchBlock(v.data, seek, res) })
	if fault != nil {
		return absent, fault
	}
	return s, err
}

func (r *Reader) searchBlock(b, seek []byte, res *Result) (state, error) {
	if r.cmp.IsBytewise() {
		data, restarts, err := parseBlock(b)
		if err != nil {
			return absent, err
		}
		if s := searchBytes(data, restarts, seek, res); s != unclear {
			return s, nil
		}
	}
	return r.searchSlow(b, seek, res)
}

// searchSlow searches with a cursor, for any comparer.
func (r *Reader) searchSlow(b, seek []byte, res *Result) (state, error) {
	it, _ := r.dec.iters.Get().(*blockIter)
	if it == nil {
		it = new(blockIter)
	}
	defer r.dec.iters.Put(it)
	if err := it.init(b, r.cmp); err != nil {
		return absent, err
	}
	if !it.seekGE(seek) {
		return behind, it.err
	}
	if r.cmp.Compare(keys.User(it.key), keys.User(seek)) != 0 {
		return absent, nil
	}
	res.Kind, res.Seq, res.Value = keys.KindOf(it.key), keys.SeqOf(it.key), it.val
	return found, nil
}

// searchBytes searches a block in bytewise order without building keys. It
// gives up with unclear on what is damaged or unusual, for searchSlow to judge.
//
// While it scans, the entry before the current one is known to be smaller than
// user and to agree with it in exactly m leading bytes, m less than both
// lengths. Then an entry that shares more than m bytes with the one before is
// smaller too, one that shares fewer is larger, and only one that shares exactly m
// needs its bytes compared.
func searchBytes(data, restarts, seek []byte, res *Result) state {
	user := keys.User(seek)
	trailer := keys.TrailerOf(seek)
	lo, hi := 0, len(restarts)/4
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		key, _, ok := restartKey(data, restarts, mid)
		if !ok || len(key) < keys.TrailerLen {
			return unclear
		}
		c := bytes.Compare(key[:len(key)-keys.TrailerLen], user)
		if c < 0 || c == 0 && keys.TrailerOf(key) > trailer {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	off := 0
	if lo > 0 {
		off = restartAt(restarts, lo-1)
	}
	return scanBytes(data, off, user, trailer, res)
}

// scanBytes is searchBytes from the entry at off, a restart point, on.
func scanBytes(data []byte, off int, user []byte, trailer uint64, res *Result) state {
	m := 0
	for off < len(data) {
		h, ok := decodeEntry(data, off)
		if !ok {
			return unclear
		}
		if h.shared > m {
			off = h.end()
			continue
		}
		if h.shared < m {
			if h.shared > 0 {
				return absent
			}
			m = 0 // a restart point shares nothing, whatever its key
		}
		n := h.unshared - keys.TrailerLen // bytes of the user key behind m
		if n < 0 {
			return unclear // part of the trailer is shared
		}
		tail := data[h.key : h.key+n : h.key+n]
		rest := user[m:]
		p := commonPrefix(tail, rest)
		switch {
		case p < n && p < len(rest):
			if tail[p] > rest[p] {
				return absent
			}
			m += p
			off = h.end()
			continue
		case p < n: // user is a proper prefix of the entry's key
			return absent
		case p < len(rest): // the entry's key is a proper prefix of user
			return unclear
		}
		t := binary.LittleEndian.Uint64(data[h.key+n:])
		if t > trailer {
			return unclear // a newer version: the one wanted is behind it
		}
		kind := keys.Kind(t)
		if kind != keys.KindSet && kind != keys.KindDelete {
			return unclear
		}
		res.Kind, res.Seq, res.Value = kind, keys.SeqNum(t>>8), data[h.value():h.end():h.end()]
		return found
	}
	return behind
}
