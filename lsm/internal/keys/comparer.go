package keys

import (
	"bytes"
	"errors"
)

// A Comparer is a total order on user keys, with the two helpers that keep
// index keys short. Its name is stored in the MANIFEST: a store written with
// one order refuses to be opened with another.
//
// The functions must be pure and safe for concurrent use, must not keep or
// change their arguments, must treat nil and empty keys alike, and must not
// panic: a store in which one does during a write refuses all further ones
// until it is opened again.
type Comparer struct {
	// Name identifies the order for ever; change it when the order changes.
	Name string

	// Compare returns a negative number, zero or a positive number as a sorts
	// before, with or after b. Keys that compare as equal must be identical
	// bytes if bloom filters are on.
	Compare func(a, b []byte) int

	// Separator appends to dst a key k with a ≤ k < b, as short as is easy,
	// given a < b. Appending a itself is always right. Nil means that.
	Separator func(dst, a, b []byte) []byte

	// Successor appends to dst a key k ≥ a, as short as is easy. Nil means a.
	Successor func(dst, a []byte) []byte

	bytewise bool // Compare is bytes.Compare: hot paths call that directly
}

// BytewiseName is the name of the default order, LevelDB's own.
const BytewiseName = "leveldb.BytewiseComparator"

// Bytewise returns the default order: lexicographic by unsigned bytes.
func Bytewise() *Comparer {
	return &Comparer{
		Name:      BytewiseName,
		Compare:   bytes.Compare,
		Separator: bytewiseSeparator,
		Successor: bytewiseSuccessor,
		bytewise:  true,
	}
}

// IsBytewise reports whether c is the order of [Bytewise], so that code may
// compare bytes itself.
func (c *Comparer) IsBytewise() bool { return c.bytewise }

// Validate says what is missing in c. Nil helpers are no fault.
func (c *Comparer) Validate() error {
	if c.Name == "" {
		return errors.New("lsm: comparer has no name")
	}
	if c.Compare == nil {
		return errors.New("lsm: comparer " + c.Name + " has no Compare function")
	}
	return nil
}

// bytewiseSeparator shortens a to its common prefix with b plus one
// incremented byte where that stays below b (LevelDB, comparator.cc).
func bytewiseSeparator(dst, a, b []byte) []byte {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	if i < n && a[i] < 0xff && a[i]+1 < b[i] {
		dst = append(dst, a[:i+1]...)
		dst[len(dst)-1]++
		return dst
	}
	return append(dst, a...)
}

// bytewiseSuccessor increments the first byte of a that is not 0xff and drops
// the rest.
func bytewiseSuccessor(dst, a []byte) []byte {
	for i, x := range a {
		if x != 0xff {
			dst = append(dst, a[:i+1]...)
			dst[len(dst)-1]++
			return dst
		}
	}
	return append(dst, a...)
}

// separatorTrailer is what LevelDB gives a shortened index key, so that it
// sorts before every stored version of that user key.
const separatorTrailer = uint64(MaxSeqNum)<<8 | uint64(KindSet)

// SeparatorInternal appends to dst an internal key k with a ≤ k < b, given
// a < b. The user key is shortened only when that makes it strictly larger
// than a's user key, as LevelDB does. Two versions of one key have no shorter one.
func (c *Comparer) SeparatorInternal(dst, a, b []byte) []byte {
	ua, ub := User(a), User(b)
	if c.Separator == nil || c.Compare(ua, ub) == 0 {
		return append(dst, a...)
	}
	base := len(dst)
	dst = c.Separator(dst, ua, ub)
	return c.closeShortened(dst, base, a)
}

// SuccessorInternal appends to dst an internal key k ≥ a.
func (c *Comparer) SuccessorInternal(dst, a []byte) []byte {
	if c.Successor == nil {
		return append(dst, a...)
	}
	base := len(dst)
	dst = c.Successor(dst, User(a))
	return c.closeShortened(dst, base, a)
}

// closeShortened puts a trailer on the user key dst[base:] if it is shorter
// than a's and sorts after it; else it replaces it by a.
func (c *Comparer) closeShortened(dst []byte, base int, a []byte) []byte {
	ua := User(a)
	short := dst[base:]
	if len(short) < len(ua) && c.Compare(ua, short) < 0 {
		return appendTrailer(dst, separatorTrailer)
	}
	return append(dst[:base], a...)
}

func appendTrailer(dst []byte, t uint64) []byte {
	return append(dst, byte(t), byte(t>>8), byte(t>>16), byte(t>>24),
		byte(t>>32), byte(t>>40), byte(t>>48), byte(t>>56))
}
