package lsm

import "errors"

// An internalIter walks internal keys in order. A move that returns false leaves
// it off the ends, or at an error that Err tells. Key and Value are valid until
// the next move.
type internalIter interface {
	First() bool
	Last() bool
	SeekGE(ikey []byte) bool
	SeekLT(ikey []byte) bool
	Next() bool
	Prev() bool
	Key() []byte
	Value() []byte
	Err() error
	Close() error
}

// A mergeIter walks several iterators as one. Internal keys are unique over all
// of them. The laws:
//
//	heap[0] is the child with the smallest key (forward) or the largest (backward)
//	every child stands at or after (forward), at or before (backward) heap[0]'s key
type mergeIter struct {
	cmp      *Comparer
	children []internalIter
	heap     []mergeItem
	backward bool
	err      error
	seekBuf  []byte
}

// A mergeItem is a child that stands on an entry, with its key at hand.
type mergeItem struct {
	key []byte
	it  internalIter
}

func newMergeIter(cmp *Comparer, children []internalIter) *mergeIter {
	m := new(mergeIter)
	m.init(cmp, children)
	return m
}

// init makes m, which is new or closed, an iterator over children. It keeps its
// buffers.
func (m *mergeIter) init(cmp *Comparer, children []internalIter) {
	m.cmp, m.children, m.heap, m.backward, m.err = cmp, children, m.heap[:0], false, nil
}

// before reports whether item i comes before item j in the direction of travel.
func (m *mergeIter) before(i, j int) bool {
	c := m.cmp.CompareInternal(m.heap[i].key, m.heap[j].key)
	if m.backward {
		return c > 0
	}
	return c < 0
}

func (m *mergeIter) down(i int) {
	n := len(m.heap)
	for {
		c := 2*i + 1
		if c >= n {
			return
		}
		if c+1 < n && m.before(c+1, c) {
			c++
		}
		if !m.before(c, i) {
			return
		}
		m.heap[i], m.heap[c] = m.heap[c], m.heap[i]
		i = c
	}
}

// build makes the heap of the children that stand on an entry.
func (m *mergeIter) build(backward bool, move func(internalIter) bool) bool {
	m.heap, m.backward, m.err = m.heap[:0], backward, nil
	for _, it := range m.children {
		m.add(it, move(it))
	}
	return m.heapify()
}

func (m *mergeIter) add(it internalIter, ok bool) {
	if ok {
		m.heap = append(m.heap, mergeItem{it.Key(), it})
	} else if err := it.Err(); err != nil && m.err == nil {
		m.err = err
	}
}

func (m *mergeIter) heapify() bool {
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m.Valid()
}

func (m *mergeIter) First() bool { return m.build(false, internalIter.First) }
func (m *mergeIter) Last() bool  { return m.build(true, internalIter.Last) }

func (m *mergeIter) SeekGE(k []byte) bool {
	m.heap, m.backward, m.err = m.heap[:0], false, nil
	for _, it := range m.children {
		m.add(it, it.SeekGE(k))
	}
	return m.heapify()
}

func (m *mergeIter) SeekLT(k []byte) bool {
	m.heap, m.backward, m.err = m.heap[:0], true, nil
	for _, it := range m.children {
		m.add(it, it.SeekLT(k))
	}
	return m.heapify()
}

// Next moves on; the iterator must be valid.
func (m *mergeIter) Next() bool {
	if m.backward {
		m.turn(false)
	}
	top := m.heap[0].it
	return m.settle(top, top.Next())
}

// Prev moves back; the iterator must be valid.
func (m *mergeIter) Prev() bool {
	if !m.backward {
		m.turn(true)
	}
	top := m.heap[0].it
	return m.settle(top, top.Prev())
}

// settle restores the heap after its top has moved.
func (m *mergeIter) settle(top internalIter, ok bool) bool {
	if ok {
		m.heap[0].key = top.Key()
		if len(m.heap) > 1 {
			m.down(0)
		}
		return m.err == nil
	}
	if err := top.Err(); err != nil && m.err == nil {
		m.err = err
	}
	last := len(m.heap) - 1
	m.heap[0] = m.heap[last]
	m.heap = m.heap[:last]
	m.down(0)
	return m.Valid()
}

// turn changes the direction: all children but the current one move to the
// other side of the current key.
func (m *mergeIter) turn(backward bool) {
	cur := m.heap[0].it
	m.seekBuf = append(m.seekBuf[:0], m.heap[0].key...)
	m.heap, m.backward = m.heap[:0], backward
	for _, it := range m.children {
		switch {
		case it == cur:
			m.heap = append(m.heap, mergeItem{it.Key(), it})
		case backward:
			m.add(it, it.SeekLT(m.seekBuf))
		default:
			m.add(it, it.SeekGE(m.seekBuf))
		}
	}
	m.heapify()
}

// Valid reports whether the iterator stands on an entry and has met no error.
func (m *mergeIter) Valid() bool { return m.err == nil && len(m.heap) > 0 }

func (m *mergeIter) Key() []byte   { return m.heap[0].key }
func (m *mergeIter) Value() []byte { return m.heap[0].it.Value() }
func (m *mergeIter) Err() error    { return m.err }

func (m *mergeIter) Close() error {
	var errs []error
	for _, it := range m.children {
		if err := it.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	clear(m.heap[:cap(m.heap)])
	m.children, m.heap = nil, m.heap[:0]
	return errors.Join(errs...)
}
