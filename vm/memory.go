package vm

import (
	"fmt"
	"math/bits"

	"golang.org/x/sys/cpu"
)

// A Memory is simulated physical memory: bytes that begin at a physical base.
// Page tables live in it, encoded little-endian, whatever machine this runs on.
//
//	physical   0 ······· base                    base+size
//	                      ├─────────────────────────┤
//	bytes                 0                        size
//
// Loads and stores of whole entries are atomic, so walks may run while a
// mapping changes. [Memory.Bytes] is a plain view for data.
type Memory struct {
	bytes []byte
	words []uint64 // the same bytes
	base  PhysAddr
}

// NewMemory returns memory over b, which stays the caller's and must outlive it,
// with b[0] at physical address base. An arena region's Bytes serve as well as
// a slice of Go's heap. The first byte must be aligned to 8, base and length
// must be multiples of 8, and base+len(b) must not wrap.
func NewMemory(b []byte, base PhysAddr) (*Memory, error) {
	switch {
	case len(b) == 0 || len(b)%8 != 0:
		return nil, fmt.Errorf("vm: memory of %#x bytes: want a multiple of 8, not zero", len(b))
	case base%8 != 0:
		return nil, fmt.Errorf("vm: physical base %v is not a multiple of 8", base)
	case uint64(base)+uint64(len(b)) < uint64(base):
		return nil, fmt.Errorf("vm: memory of %#x bytes at %v wraps", len(b), base)
	}
	w, ok := wordsOf(b)
	if !ok {
		return nil, fmt.Errorf("vm: memory is not aligned to 8 bytes")
	}
	return &Memory{bytes: b, words: w, base: base}, nil
}

// Base returns the physical address of the first byte.
func (m *Memory) Base() PhysAddr { return m.base }

// Size returns the number of bytes.
func (m *Memory) Size() uint64 { return uint64(len(m.bytes)) }

// Contains reports whether [pa, pa+n) lies in the memory.
func (m *Memory) Contains(pa PhysAddr, n uint64) bool {
	off := uint64(pa - m.base)
	return pa >= m.base && off <= m.Size() && n <= m.Size()-off
}

// Bytes returns a view of [pa, pa+n) with that capacity, or false when it does
// not lie in the memory. It is the memory itself: unsynchronised.
func (m *Memory) Bytes(pa PhysAddr, n uint64) ([]byte, bool) {
	if !m.Contains(pa, n) {
		return nil, false
	}
	off := uint64(pa - m.base)
	return m.bytes[off : off+n : off+n], true
}

// Words returns the memory as 8-byte words in the machine's own byte order;
// [LittleEndian] turns one into its value. It lets a walker keep the slice in
// registers; the words are shared and are to be used through sync/atomic.
func (m *Memory) Words() []uint64 { return m.words }

// LittleEndian converts between a word of [Memory.Words] and its value: the
// identity on little-endian machines, a byte swap on others.
func LittleEndian(w uint64) uint64 {
	if cpu.IsBigEndian {
		return bits.ReverseBytes64(w)
	}
	return w
}

// index returns the word that holds [pa, pa+size), and how far to shift it.
// It is false when pa is outside or not a multiple of size (1, 2, 4 or 8).
func (m *Memory) index(pa PhysAddr, size uint64) (i uint64, shift uint, ok bool) {
	off := uint64(pa - m.base)
	if off >= uint64(len(m.bytes)) || off&(size-1) != 0 {
		return 0, 0, false
	}
	return off >> 3, uint(off&7) * 8, true
}

// Load returns the little-endian entry of size bytes (1, 2, 4 or 8) at pa, atomically,
// or false when it is outside the memory or not aligned to its size.
func (m *Memory) Load(pa PhysAddr, size uint64) (uint64, bool) {
	i, shift, ok := m.index(pa, size)
	if !ok {
		return 0, false
	}
	return LittleEndian(loadWord(&m.words[i])) >> shift & (^uint64(0) >> (64 - 8*size)), true
}

// Store writes the entry of size bytes (1, 2, 4 or 8) at pa, atomically, and reports
// whether it lies in the memory.
func (m *Memory) Store(pa PhysAddr, size, v uint64) bool {
	i, shift, ok := m.index(pa, size)
	if !ok {
		return false
	}
	mask := ^uint64(0) >> (64 - 8*size) << shift
	for {
		old := loadWord(&m.words[i])
		w := LittleEndian(old)&^mask | v<<shift&mask
		if casWord(&m.words[i], old, LittleEndian(w)) {
			return true
		}
	}
}

// CompareAndSwap replaces the entry of size bytes (1, 2, 4 or 8) at pa by v if it is
// still old, atomically, as hardware sets accessed and dirty bits.
func (m *Memory) CompareAndSwap(pa PhysAddr, size, old, v uint64) bool {
	i, shift, ok := m.index(pa, size)
	if !ok {
		return false
	}
	mask := ^uint64(0) >> (64 - 8*size) << shift
	for {
		have := loadWord(&m.words[i])
		w := LittleEndian(have)
		if w&mask != old<<shift&mask {
			return false
		}
		if casWord(&m.words[i], have, LittleEndian(w&^mask|v<<shift&mask)) {
			return true
		}
	}
}

// Zero clears [pa, pa+n), which must be whole words in the memory, word by word
// and atomically; it reports whether it was.
func (m *Memory) Zero(pa PhysAddr, n uint64) bool {
	if !m.Contains(pa, n) || pa%8 != 0 || n%8 != 0 {
		return false
	}
	i := uint64(pa-m.base) >> 3
	w := m.words[i : i+n/8]
	for k := range w {
		storeWord(&w[k], 0)
	}
	return true
}
