package alloc

import (
	"slices"
	"sync"
)

// Owners knows which allocator has which memory, so that one that is handed a block of another can say
// whose it is, in [Fault.Owner]. A program that wants that makes one and puts it into the options of all
// its heaps, each with a name of its own. It is safe for concurrent use; the zero value knows nobody,
// and so does nil. It must not be copied.
type Owners struct {
	mu   sync.Mutex
	list []*owned
}

// owned is the memory of an allocator, as addresses that are only compared.
type owned struct {
	name   string
	lo, hi uintptr
}

// Add says that mem, which is not empty, belongs to the allocator of that name, until remove is called,
// which does nothing when it is called again. mem is not kept alive by that. O(1), remove O(allocators).
// Where memory has several owners, as a heap's region that was cut from a larger one, the last is the
// one that [Owners.Of] names. mem is not to move: it must not be on a goroutine's stack. Heaps that
// have o among their options call Add themselves, and remove when they are closed; one that is dropped
// without that stays known, whoever has its addresses then.
func (o *Owners) Add(name string, mem []byte) (remove func()) {
	if o == nil {
		return func() {}
	}
	w := &owned{name, addr(mem), addr(mem) + uintptr(len(mem))}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, w)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.list = slices.DeleteFunc(o.list, func(x *owned) bool { return x == w })
	}
}

// Of returns the name of the allocator that has the memory at the address of b, or "" if none that is
// known does. b is not dereferenced. O(allocators).
func (o *Owners) Of(b []byte) string {
	if o == nil {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range slices.Backward(o.list) {
		if a := addr(b); a >= w.lo && a < w.hi {
			return w.name
		}
	}
	return ""
}
