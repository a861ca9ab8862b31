package filter

import (
	"encoding/binary"
	"fmt"
)

// baseShift says that a filter covers 1<<baseShift bytes of file offsets.
const baseShift = 11

// A Builder makes the filter block of one table. The zero value is not ready;
// see NewBuilder. Not safe for concurrent use.
type Builder struct {
	bitsPerKey float64
	hashes     []uint32 // of the filter that is being filled
	offsets    []uint32 // of the finished filters
	data       []byte   // the finished filters
}

// NewBuilder returns a Builder that spends bitsPerKey bits on each key.
func NewBuilder(bitsPerKey float64) *Builder { return &Builder{bitsPerKey: bitsPerKey} }

// StartBlock says that the keys added from now on are in the data block at file
// offset off. Offsets do not decrease.
func (b *Builder) StartBlock(off uint64) {
	for uint64(len(b.offsets)) < off>>baseShift {
		b.finishFilter()
	}
}

// Add adds the key with hash h to the current block. A hash that repeats the
// one before it costs nothing.
func (b *Builder) Add(h uint32) {
	if n := len(b.hashes); n > 0 && b.hashes[n-1] == h {
		return
	}
	b.hashes = append(b.hashes, h)
}

// Size returns about how many bytes the block would have now.
func (b *Builder) Size() int { return len(b.data) + 4*len(b.offsets) + 5 }

// Finish returns the block, which stays valid until the next use.
func (b *Builder) Finish() []byte {
	if len(b.hashes) > 0 {
		b.finishFilter()
	}
	array := uint32(len(b.data))
	for _, off := range b.offsets {
		b.data = binary.LittleEndian.AppendUint32(b.data, off)
	}
	b.data = binary.LittleEndian.AppendUint32(b.data, array)
	b.data = append(b.data, baseShift)
	return b.data
}

// Reset makes b ready for another table.
func (b *Builder) Reset() {
	b.hashes, b.offsets, b.data = b.hashes[:0], b.offsets[:0], b.data[:0]
}

func (b *Builder) finishFilter() {
	b.offsets = append(b.offsets, uint32(len(b.data)))
	if len(b.hashes) > 0 {
		b.data = appendBloom(b.data, b.hashes, b.bitsPerKey)
		b.hashes = b.hashes[:0]
	}
}

// A Block is a decoded filter block. It is read-only and safe for concurrent
// use.
type Block struct {
	data    []byte // the filters
	offsets []byte // numFilters+1 words: where each begins, and the end
	shift   uint
}

// Parse checks the shape of a filter block and returns a view of it.
func Parse(b []byte) (Block, error) {
	if len(b) < 5 {
		return Block{}, fmt.Errorf("filter block of %d bytes", len(b))
	}
	shift := uint(b[len(b)-1])
	array := binary.LittleEndian.Uint32(b[len(b)-5:])
	end := len(b) - 1
	if shift > 40 || uint64(array) > uint64(end-4) || (end-4-int(array))%4 != 0 {
		return Block{}, fmt.Errorf("filter block of %d bytes: bad shape (array at %d, base %d)", len(b), array, shift)
	}
	f := Block{data: b[:array:array], offsets: b[array:end:end], shift: shift}
	last := uint32(0)
	for i := 0; i < len(f.offsets); i += 4 {
		off := binary.LittleEndian.Uint32(f.offsets[i:])
		if off < last || off > array {
			return Block{}, fmt.Errorf("filter block of %d bytes: filter %d at %d", len(b), i/4, off)
		}
		last = off
	}
	return f, nil
}

// Data returns the filters; what [Block.Range] returns are places in it.
func (f *Block) Data() []byte { return f.data }

// DataSize returns the length of Data in bytes.
func (f *Block) DataSize() int { return len(f.data) }

// NumFilters returns how many filters the block has.
func (f *Block) NumFilters() int { return len(f.offsets)/4 - 1 }

// Range returns where, in the block, the filter of the data block at file
// offset off begins and ends. ok is false when the block has no such filter, in
// which case any key may be present.
func (f *Block) Range(off uint64) (lo, hi uint32, ok bool) {
	i := off >> f.shift
	if i >= uint64(f.NumFilters()) {
		return 0, 0, false
	}
	lo = binary.LittleEndian.Uint32(f.offsets[4*i:])
	hi = binary.LittleEndian.Uint32(f.offsets[4*i+4:])
	return lo, hi, true
}

// MayContain reports whether a key with hash h may be in the data block at file
// offset off. False is certain.
func (f *Block) MayContain(off uint64, h uint32) bool {
	lo, hi, ok := f.Range(off)
	return !ok || MayContain(f.data[lo:hi], h)
}
