package vm

import (
	"sync/atomic"
	"unsafe"
)

// wordsOf returns b as 8-byte words, or false when its start is not aligned.
func wordsOf(b []byte) ([]uint64, bool) {
	// SAFETY: b is not empty (NewMemory checked), the pointer is only looked at as a number.
	p := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(p)%8 != 0 {
		return nil, false
	}
	// SAFETY: p is aligned to 8, len(b)/8 words lie in b, and uint64 holds no pointers;
	// the result keeps b's memory alive when that is Go's.
	return unsafe.Slice((*uint64)(p), len(b)/8), true
}

func loadWord(p *uint64) uint64           { return atomic.LoadUint64(p) }
func storeWord(p *uint64, v uint64)       { atomic.StoreUint64(p, v) }
func casWord(p *uint64, o, v uint64) bool { return atomic.CompareAndSwapUint64(p, o, v) }
