package keys

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
)

// A SeqNum orders writes. It has 56 bits; 0 is before every write.
type SeqNum uint64

// MaxSeqNum is the largest sequence number that fits beside a kind. A seek with
// it sees everything.
const MaxSeqNum SeqNum = 1<<56 - 1

// A Kind says what a record does to its key. The numbers are on disk: the
// first two are LevelDB's, the others RocksDB's.
type Kind uint8

// The kinds.
const (
	KindDelete      Kind = 0x0 // the key is gone
	KindSet         Kind = 0x1 // the key has a value
	KindRangeDelete Kind = 0xF // every key in [key, value) is gone

	// KindSeek is never stored. It sorts before every kind of the same
	// sequence number, so a seek with it finds that sequence number too.
	KindSeek Kind = 0xFF
)

// TrailerLen is the length in bytes of an internal key's trailer.
const TrailerLen = 8

// String names k.
func (k Kind) String() string {
	switch k {
	case KindDelete:
		return "DEL"
	case KindSet:
		return "SET"
	case KindRangeDelete:
		return "RANGEDEL"
	case KindSeek:
		return "SEEK"
	}
	return "KIND" + strconv.Itoa(int(k))
}

// Trailer packs a sequence number and a kind.
func Trailer(seq SeqNum, kind Kind) uint64 { return uint64(seq)<<8 | uint64(kind) }

// Append appends the internal key of (user, seq, kind) to dst.
func Append(dst, user []byte, seq SeqNum, kind Kind) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, user...), Trailer(seq, kind))
}

// Make returns a new internal key.
func Make(user []byte, seq SeqNum, kind Kind) []byte {
	return Append(make([]byte, 0, len(user)+TrailerLen), user, seq, kind)
}

// Valid reports whether ikey is long enough to be an internal key and has a
// kind that is stored.
func Valid(ikey []byte) bool {
	if len(ikey) < TrailerLen {
		return false
	}
	switch Kind(ikey[len(ikey)-TrailerLen]) {
	case KindDelete, KindSet, KindRangeDelete:
		return true
	}
	return false
}

// User returns the user key inside ikey, which must have a trailer. It aliases
// ikey, with its capacity cut off before the trailer.
func User(ikey []byte) []byte {
	n := len(ikey) - TrailerLen
	return ikey[:n:n]
}

// TrailerOf returns the trailer of ikey, which must have one.
func TrailerOf(ikey []byte) uint64 {
	return binary.LittleEndian.Uint64(ikey[len(ikey)-TrailerLen:])
}

// SeqOf returns the sequence number of ikey, which must have a trailer.
func SeqOf(ikey []byte) SeqNum { return SeqNum(TrailerOf(ikey) >> 8) }

// KindOf returns the kind of ikey, which must have a trailer.
func KindOf(ikey []byte) Kind { return Kind(ikey[len(ikey)-TrailerLen]) }

// Format draws ikey as user#seq,KIND with the user key quoted. Anything goes
// in; what is no internal key is shown in hex.
func Format(ikey []byte) string {
	if len(ikey) < TrailerLen {
		return fmt.Sprintf("bad internal key %x", ikey)
	}
	return fmt.Sprintf("%q#%d,%v", User(ikey), SeqOf(ikey), KindOf(ikey))
}

// CompareInternal orders two internal keys under the user order of c: user key
// ascending, then trailer descending. Both must have trailers.
func (c *Comparer) CompareInternal(a, b []byte) int {
	na, nb := len(a)-TrailerLen, len(b)-TrailerLen
	var r int
	if c.bytewise {
		r = bytes.Compare(a[:na], b[:nb])
	} else {
		r = c.Compare(a[:na:na], b[:nb:nb])
	}
	if r != 0 {
		return r
	}
	ta, tb := binary.LittleEndian.Uint64(a[na:]), binary.LittleEndian.Uint64(b[nb:])
	switch {
	case ta > tb:
		return -1
	case ta < tb:
		return 1
	}
	return 0
}
