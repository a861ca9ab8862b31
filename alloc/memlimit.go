package alloc

import (
	"runtime/debug"
	"sync"
)

// A MemoryLimit shares one budget between the Go heap and memory outside of it.
//
// The limit of [debug.SetMemoryLimit] (GOMEMLIMIT) does not count what is mapped
// by packages like arena: with 3 GiB of a 4 GiB budget off the heap the collector
// would still let the Go heap grow to 4 GiB. [MemoryLimit.Update] sets the
// runtime's limit to what the heaps leave of the budget. Nothing runs in the
// background: call Update after large changes, or every second from a loop of
// the program's own. It is safe for concurrent use if the heaps' Stats are.
//
// The other trap goes the other way: with the data off the heap, the live Go
// heap is small, and at GOGC=100 a collection starts each time it doubles,
// which is often. A limit does not cure that; set GOGC higher.
type MemoryLimit struct {
	mu     sync.Mutex
	budget int64
	heaps  []Statser
	before int64 // the runtime's limit before the first Update
	active bool
}

// minGoShare is the part of the budget, one in so many, that the Go heap keeps
// at least: with a limit near its live size the collector would run all the time.
const minGoShare = 8

// NewMemoryLimit returns a limit of budget bytes for the Go heap and the
// committed bytes of heaps together. Nothing happens before the first Update.
func NewMemoryLimit(budget int64, heaps ...Statser) *MemoryLimit {
	return &MemoryLimit{budget: budget, heaps: heaps}
}

// Update sets the runtime's limit to the budget less the committed bytes of the
// heaps, at least an eighth of the budget, and returns it in bytes.
func (m *MemoryLimit) Update() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.budget
	for _, h := range m.heaps {
		left -= int64(h.Stats().Committed)
	}
	left = max(left, m.budget/minGoShare)
	before := debug.SetMemoryLimit(left)
	if !m.active {
		m.active, m.before = true, before
	}
	return left
}

// Close sets the runtime's limit back to what it was before the first Update.
// It returns nil, so that MemoryLimit is an io.Closer.
func (m *MemoryLimit) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.active {
		debug.SetMemoryLimit(m.before)
		m.active = false
	}
	return nil
}
