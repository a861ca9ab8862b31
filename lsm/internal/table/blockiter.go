package table

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/keys"
)

var errEntry = errors.New("bad entry")

// A blockIter is a cursor over the entries of one block. Its key is copied into
// a buffer that it keeps, its value is a view of the block. Reuse it for many
// blocks: steps allocate nothing once the buffers have grown.
type blockIter struct {
	cmp      *keys.Comparer // nil: keys are plain bytes, and there are no seeks
	data     []byte         // the entries
	restarts []byte         // their restart points, 4 bytes each

	off  int // of the current entry; -1 when there is none
	end  int // behind the current entry
	key  []byte
	val  []byte
	err  error // damage: the cursor stands nowhere
	back backList
}

// init puts the cursor on block b, nowhere in it. With cmp the keys are
// internal keys.
func (it *blockIter) init(b []byte, cmp *keys.Comparer) error {
	it.cmp, it.err = cmp, nil
	it.off, it.end = -1, 0
	it.back.reset()
	it.data, it.restarts, it.err = parseBlock(b)
	return it.err
}

// none leaves the cursor nowhere.
func (it *blockIter) none() bool {
	it.off = -1
	return false
}

func (it *blockIter) damaged(off int, why error) bool {
	it.err = fmt.Errorf("%w at %#x", why, off)
	return it.none()
}

// read decodes the entry at off, with it.key holding the key before it.
func (it *blockIter) read(off int) bool {
	if off >= len(it.data) {
		return it.none()
	}
	h, ok := decodeEntry(it.data, off)
	if !ok || h.shared > len(it.key) {
		return it.damaged(off, errEntry)
	}
	it.key = append(it.key[:h.shared], it.data[h.key:h.value()]...)
	if it.cmp != nil && !keys.Valid(it.key) {
		return it.damaged(off, errors.New("bad internal key"))
	}
	it.val = it.data[h.value():h.end():h.end()]
	it.off, it.end = off, h.end()
	return true
}

func (it *blockIter) numRestarts() int { return len(it.restarts) / 4 }

// toRestart reads the entry at restart point i.
func (it *blockIter) toRestart(i int) bool {
	it.key = it.key[:0]
	it.back.reset()
	if it.err != nil {
		return false
	}
	if i >= it.numRestarts() {
		return it.none()
	}
	return it.read(restartAt(it.restarts, i))
}

// first moves to the first entry.
func (it *blockIter) first() bool {
	it.key = it.key[:0]
	it.back.reset()
	if it.err != nil {
		return false
	}
	return it.read(0)
}

// next moves on by one entry. The cursor must stand on one.
func (it *blockIter) next() bool {
	it.back.reset()
	return it.read(it.end)
}

// last moves to the last entry.
func (it *blockIter) last() bool {
	if it.err != nil {
		return false
	}
	it.back.reset()
	it.off = len(it.data) // as if one step behind it
	return it.prev()
}

// seekGE moves to the first entry whose key is at or after ikey.
func (it *blockIter) seekGE(ikey []byte) bool {
	i, ok := it.searchRestarts(ikey)
	if !ok {
		return false
	}
	for ok = it.toRestart(max(0, i-1)); ok; ok = it.next() {
		if it.cmp.CompareInternal(it.key, ikey) >= 0 {
			return true
		}
	}
	return false
}

// seekLT moves to the last entry whose key is before ikey.
func (it *blockIter) seekLT(ikey []byte) bool {
	if it.seekGE(ikey) {
		return it.prev()
	}
	if it.err != nil {
		return false
	}
	return it.last()
}

// searchRestarts returns the first restart point whose key is at or after
// ikey.
func (it *blockIter) searchRestarts(ikey []byte) (int, bool) {
	if it.err != nil {
		return 0, false
	}
	lo, hi := 0, it.numRestarts()
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		key, _, ok := restartKey(it.data, it.restarts, mid)
		if !ok && len(it.data) == 0 {
			return 0, it.none() // an empty block has one restart point, at 0
		}
		if !ok || !keys.Valid(key) {
			return 0, it.damaged(restartAt(it.restarts, mid), errors.New("bad restart point"))
		}
		if it.cmp.CompareInternal(key, ikey) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, true
}
