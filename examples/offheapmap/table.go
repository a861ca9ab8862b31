package main

import (
	"bytes"
	"hash/maphash"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// A Table is a hash table from byte strings to visits whose slots and keys are
// blocks of a heap off Go's: the collector sees one small struct, however many
// entries there are. It uses linear probing, grows at 3/4, and closes the gap
// behind a deleted entry, so that no markers are left.
//
//	slot   ├ hash 4 ┼ length 4 ┼ key's offset 8 ┼ visit 8 ┤
type Table struct {
	h     *segregated.Heap
	mem   []byte // the heap's region: keys are found by their offsets
	r     *arena.Region
	slots []slot
	n     int
	seed  maphash.Seed
}

// A slot is empty while its offset is 0.
type slot struct {
	hash, length uint32
	key          arena.Offset
	value        visit
}

// NewTable returns an empty table in h, which is a heap in r.
func NewTable(h *segregated.Heap, r *arena.Region) (*Table, error) {
	t := &Table{h: h, mem: r.Bytes(), r: r, seed: maphash.MakeSeed()}
	var err error
	t.slots, err = alloc.Make[slot](h, 16)
	return t, err
}

// Len returns the number of entries.
func (t *Table) Len() int { return t.n }

// Get returns the value of key, nil if there is none. It is good until the next
// Put or Delete.
func (t *Table) Get(key []byte) *visit {
	s, found := t.find(key, t.hash(key))
	if !found {
		return nil
	}
	return &t.slots[s].value
}

// Put returns the value of key, a new zero one if there was none. It is good
// until the next Put or Delete.
func (t *Table) Put(key []byte) (*visit, error) {
	hash := t.hash(key)
	i, found := t.find(key, hash)
	if found {
		return &t.slots[i].value, nil
	}
	if 4*(t.n+1) > 3*len(t.slots) {
		if err := t.grow(); err != nil {
			return nil, err
		}
		i, _ = t.find(key, hash)
	}
	b, err := t.h.Malloc(len(key)) // also 0 bytes have an address of their own
	if err != nil {
		return nil, err
	}
	copy(b, key)
	off, _ := t.r.OffsetOf(b)
	t.slots[i] = slot{hash: hash, length: uint32(len(key)), key: off}
	t.n++
	return &t.slots[i].value, nil
}

// Delete removes key and reports whether it was there.
func (t *Table) Delete(key []byte) bool {
	i, found := t.find(key, t.hash(key))
	if !found {
		return false
	}
	t.h.Free(t.mem[t.slots[i].key:][:1])
	t.n--
	// Close the gap: an entry further on moves into it unless its home lies
	// between the two.
	mask := len(t.slots) - 1
	for j := (i + 1) & mask; t.slots[j].key != 0; j = (j + 1) & mask {
		if home := int(t.slots[j].hash) & mask; (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = slot{}
	return true
}

// Close frees every key and the slots.
func (t *Table) Close() {
	for i := range t.slots {
		if t.slots[i].key != 0 {
			t.h.Free(t.mem[t.slots[i].key:][:1])
		}
	}
	alloc.DeleteSlice(t.h, t.slots)
	t.slots, t.n = nil, 0
}

// find returns the slot of key, or the empty one where it belongs.
func (t *Table) find(key []byte, hash uint32) (i int, found bool) {
	mask := len(t.slots) - 1
	for i = int(hash) & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.key == 0 {
			return i, false
		}
		if s.hash == hash && bytes.Equal(t.keyOf(i), key) {
			return i, true
		}
	}
}

// keyOf returns the key of slot i, which is not empty.
func (t *Table) keyOf(i int) []byte {
	s := &t.slots[i]
	end := int(s.key) + int(s.length)
	return t.mem[s.key:end:end]
}

// grow doubles the slots.
func (t *Table) grow() error {
	old := t.slots
	slots, err := alloc.Make[slot](t.h, 2*len(old))
	if err != nil {
		return err
	}
	t.slots = slots
	mask := len(slots) - 1
	for i := range old {
		if old[i].key == 0 {
			continue
		}
		j := int(old[i].hash) & mask
		for slots[j].key != 0 {
			j = (j + 1) & mask
		}
		slots[j] = old[i]
	}
	alloc.DeleteSlice(t.h, old)
	return nil
}

func (t *Table) hash(key []byte) uint32 { return uint32(maphash.Bytes(t.seed, key)) }
