package table

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/offheap"
)

// load unpacks an index block, and the filter block if there is one, into
// memory pinned in c. limit is where the blocks of the file end. On error
// nothing stays pinned.
func (x *index) load(c *cache.Cache, cmp *keys.Comparer, raw, bloom []byte, limit int64) error {
	n, keyBytes, err := x.survey(cmp, raw)
	if err != nil {
		return err
	}
	var f filter.Block
	if bloom != nil {
		if f, err = filter.Parse(bloom); err != nil {
			return err
		}
	}
	if uint64(keyBytes) > 1<<32-1 || uint64(len(bloom)) >= noBloom {
		return fmt.Errorf("index of %d key bytes or filter of %d bytes is too large", keyBytes, len(bloom))
	}
	size := n*(cache.SlotSize+8+entrySize) + keyBytes + f.DataSize()
	mem, err := c.AllocPinned(size)
	if err != nil {
		return err
	}
	x.carve(mem, n, keyBytes)
	copy(x.filters, f.Data())
	x.hasBloom = bloom != nil
	if err := x.fill(cmp, raw, &f, limit); err != nil {
		x.release(c)
		return err
	}
	if cmp.IsBytewise() {
		x.makePrefixes()
	}
	return nil
}

// survey counts the blocks and the bytes of their separators, and checks that
// separators ascend.
func (x *index) survey(cmp *keys.Comparer, raw []byte) (n, keyBytes int, err error) {
	var it blockIter
	if err := it.init(raw, cmp); err != nil {
		return 0, 0, err
	}
	var last []byte
	for ok := it.first(); ok; ok = it.next() {
		if n > 0 && cmp.CompareInternal(last, it.key) >= 0 {
			return 0, 0, fmt.Errorf("separator %s is not after %s", keys.Format(it.key), keys.Format(last))
		}
		last = append(last[:0], it.key...)
		n++
		keyBytes += len(it.key)
	}
	return n, keyBytes, it.err
}

// carve lays the parts of x out in mem.
func (x *index) carve(mem []byte, n, keyBytes int) {
	x.n, x.pinned = n, mem
	take := func(size int) []byte {
		part := mem[:size:size]
		mem = mem[size:]
		return part
	}
	x.slots = offheap.Slice[cache.Slot](take(n * cache.SlotSize))
	x.prefixes = offheap.Slice[uint64](take(n * 8))
	x.entries = offheap.Slice[entry](take(n * entrySize))
	x.keys = take(keyBytes)
	x.filters = mem
}

// fill copies the entries of the index block.
func (x *index) fill(cmp *keys.Comparer, raw []byte, f *filter.Block, limit int64) error {
	var it blockIter
	if err := it.init(raw, cmp); err != nil {
		return err
	}
	keyEnd, behind := 0, uint64(0)
	i := 0
	for ok := it.first(); ok; ok = it.next() {
		h, _, err := decodeHandle(it.val)
		if err == nil {
			err = h.check(limit)
		}
		if err == nil && h.off < behind {
			err = errors.New("data blocks overlap")
		}
		if err != nil {
			return err
		}
		behind = h.off + h.size + trailerLen
		keyEnd += copy(x.keys[keyEnd:], it.key)
		e := entry{off: h.off, size: uint32(h.size), keyEnd: uint32(keyEnd), bloomLo: noBloom}
		if x.hasBloom {
			if lo, hi, ok := f.Range(h.off); ok {
				e.bloomLo, e.bloomEnd = lo, hi
			}
		}
		x.entries[i] = e
		i++
	}
	return it.err
}

// makePrefixes finds what the separators' user keys share and packs what comes
// behind it. Since they ascend, the first and the last share it.
func (x *index) makePrefixes() {
	if x.n == 0 {
		return
	}
	first, last := keys.User(x.separator(0)), keys.User(x.separator(x.n-1))
	c := commonPrefix(first, last)
	x.common = first[:c:c]
	for i := range x.n {
		x.prefixes[i] = prefix8(keys.User(x.separator(i))[c:])
	}
}

// mayContain asks the filter of block i about a user key with hash h.
func (x *index) mayContain(i int, h uint32) bool {
	e := &x.entries[i]
	return e.bloomLo == noBloom || filter.MayContain(x.filters[e.bloomLo:e.bloomEnd], h)
}

// release gives the memory back and takes the table's blocks out of the cache.
func (x *index) release(c *cache.Cache) {
	c.Drop(x.slots)
	c.FreePinned(x.pinned)
	*x = index{}
}

// span returns the user keys that block i can hold: those after lo up to hi.
func (x *index) span(i int) (lo, hi []byte) {
	if i > 0 {
		lo = bytes.Clone(keys.User(x.separator(i - 1)))
	}
	return lo, bytes.Clone(keys.User(x.separator(i)))
}
