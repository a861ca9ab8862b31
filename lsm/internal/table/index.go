package table

import (
	"bytes"
	"encoding/binary"

	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// An index is the unpacked index block of a table with its filter, in one
// pinned block of memory:
//
//	├ slots 8·n │ prefixes 8·n │ entries 24·n │ separators … │ filters … ┤
//
// A prefix is the first eight bytes of a separator's user key behind the bytes
// that all separators share, big-endian, padded with zeros. So integer order is
// the separators' order, except that equal prefixes need a look at the keys. It is
// used when the order is bytewise.
type index struct {
	n        int
	slots    []cache.Slot
	prefixes []uint64
	entries  []entry
	keys     []byte // the separators: internal keys
	common   []byte // user-key prefix that all separators share
	filters  []byte
	hasBloom bool
	pinned   []byte // all of it
}

// An entry describes one data block.
type entry struct {
	off      uint64 // of the block in the file
	size     uint32 // without trailer
	keyEnd   uint32 // of its separator in keys; it begins at the one before
	bloomLo  uint32 // its filter
	bloomEnd uint32
}

const (
	entrySize = 24
	// noBloom in bloomLo says that the block has no filter: any key may be in
	// it.
	noBloom = 1<<32 - 1
)

// separator returns the i-th separator.
func (x *index) separator(i int) []byte {
	lo := uint32(0)
	if i > 0 {
		lo = x.entries[i-1].keyEnd
	}
	hi := x.entries[i].keyEnd
	return x.keys[lo:hi:hi]
}

// seek returns the first block whose separator is at or after ikey, or n.
func (x *index) seek(cmp *keys.Comparer, ikey []byte) int {
	lo, hi := 0, x.n
	if cmp.IsBytewise() {
		lo, hi = x.seekPrefix(keys.User(ikey))
	}
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if cmp.CompareInternal(x.separator(mid), ikey) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// seekPrefix narrows a search to [lo, hi], given bytewise order: separators
// before lo are smaller than user, those from hi on are larger.
func (x *index) seekPrefix(user []byte) (lo, hi int) {
	if c := len(x.common); c > 0 {
		switch k := min(c, len(user)); bytes.Compare(user[:k], x.common[:k]) {
		case -1:
			return 0, 0
		case 1:
			return x.n, x.n
		default:
			if k < c {
				return 0, 0 // user is a proper prefix of all of them
			}
		}
		user = user[c:]
	}
	p := prefix8(user)
	lo = lowerBound(x.prefixes, p)
	if lo == x.n || x.prefixes[lo] != p {
		return lo, lo
	}
	if p == 1<<64-1 {
		return lo, x.n
	}
	return lo, lo + lowerBound(x.prefixes[lo:], p+1)
}

// prefix8 returns the first eight bytes of b as a big-endian number, as if zeros
// followed b.
func prefix8(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var v uint64
	for i, x := range b {
		v |= uint64(x) << (56 - 8*i)
	}
	return v
}

// lowerBound returns the first i with a[i] ≥ p. The halving has no branch on
// the data that a processor could mispredict.
func lowerBound(a []uint64, p uint64) int {
	base, n := 0, len(a)
	for n > 1 {
		half := n / 2
		if a[base+half-1] < p {
			base += half
		}
		n -= half
	}
	if n == 1 && a[base] < p {
		base++
	}
	return base
}
