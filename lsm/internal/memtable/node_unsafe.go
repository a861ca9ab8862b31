package memtable

import (
	"sync/atomic"
	"unsafe"
)

// link returns the link of node off on a level.
//
// The caller must pass a node of the list and a level below its height.
func (s *SkipList) link(off uint32, level int) *uint32 {
	// SAFETY: nodes are allocated inside the arena with their tower in front,
	// at a multiple of 4, and off and level come from the list itself.
	return (*uint32)(unsafe.Add(s.base, uintptr(off)-uintptr(level+1)*linkSize))
}

// next follows the link of node off on a level.
func (s *SkipList) next(off uint32, level int) uint32 {
	return atomic.LoadUint32(s.link(off, level))
}

// casNext swings the link of node off on a level from old to node.
func (s *SkipList) casNext(off uint32, level int, old, node uint32) bool {
	return atomic.CompareAndSwapUint32(s.link(off, level), old, node)
}

// setNext sets a link of a node that is not yet reachable on that level.
func (s *SkipList) setNext(off uint32, level int, node uint32) {
	atomic.StoreUint32(s.link(off, level), node)
}

// tag returns the tag word of node off.
func (s *SkipList) tag(off uint32) uint32 {
	// SAFETY: off is a node of the list; its first word is the tag, written
	// before the node was published.
	return *(*uint32)(unsafe.Add(s.base, uintptr(off)))
}

// setTag fills in the tag of a node that is not yet reachable.
func (s *SkipList) setTag(off, tag uint32) {
	// SAFETY: off was handed out by the arena with room for the word.
	*(*uint32)(unsafe.Add(s.base, uintptr(off))) = tag
}

// key returns the key of node off, a view of the arena.
func (s *SkipList) key(off uint32) []byte {
	// SAFETY: off is a node of the list, whose lengths were written by fill and
	// lie inside the arena with the bytes they count.
	p := unsafe.Add(s.base, uintptr(off)+tagSize)
	if kv := *(*[2]byte)(p); kv[0]|kv[1] < 0x80 { // both lengths fit a byte: the usual case
		return unsafe.Slice((*byte)(unsafe.Add(p, 2)), int(kv[0]))
	}
	klen, n := s.uvarint(off + tagSize)
	_, m := s.uvarint(off + tagSize + n)
	return unsafe.Slice((*byte)(unsafe.Add(p, uintptr(n+m))), int(klen))
}

// pointer is unsafe.Pointer by a name that other files can use for a field.
type pointer = unsafe.Pointer

// basePointer returns the address of the arena's first byte.
func basePointer(mem []byte) pointer {
	// SAFETY: only the address is taken; NewSkipList checked that mem is not empty.
	return unsafe.Pointer(unsafe.SliceData(mem))
}
