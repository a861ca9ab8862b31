package table

// A backList notes the entries between a restart point and the cursor. The
// first step backward fills it, the following ones take from it: entries can
// only be decoded forward.
type backList struct {
	entries []backEntry
	keys    []byte
}

type backEntry struct {
	off, end     int // of the entry
	value        int // where its value begins
	keyLo, keyHi int // its key, in backList.keys
}

func (b *backList) reset() { b.entries, b.keys = b.entries[:0], b.keys[:0] }

// prev moves back by one entry. The cursor stands on an entry or, with off at
// the end of the block, behind the last one.
func (it *blockIter) prev() bool {
	if len(it.back.entries) == 0 && !it.fillBack() {
		return it.none()
	}
	b := &it.back
	e := b.entries[len(b.entries)-1]
	b.entries = b.entries[:len(b.entries)-1]
	it.key = append(it.key[:0], b.keys[e.keyLo:e.keyHi]...)
	it.val = it.data[e.value:e.end:e.end]
	it.off, it.end = e.off, e.end
	return true
}

// fillBack notes the entries from the last restart point before it.off up to
// it.off. It reports whether there are any.
func (it *blockIter) fillBack() bool {
	stop := it.off
	lo, hi := 0, it.numRestarts() // the first restart point at or after stop
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if restartAt(it.restarts, mid) < stop {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return false
	}
	for ok := it.toRestart(lo - 1); ok && it.off < stop; ok = it.read(it.end) {
		b := &it.back
		at := len(b.keys)
		b.keys = append(b.keys, it.key...)
		b.entries = append(b.entries, backEntry{
			off: it.off, end: it.end, value: it.end - len(it.val), keyLo: at, keyHi: len(b.keys)})
	}
	return it.err == nil && len(it.back.entries) > 0
}
