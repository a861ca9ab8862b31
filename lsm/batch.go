package lsm

import (
	"encoding/binary"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/memtable"
)

const (
	// batchHeader is the length of a batch's header, as LevelDB writes it.
	batchHeader = 12

	// MaxKeyLen is the longest key in bytes: 16 MiB.
	MaxKeyLen = 16 << 20
	// MaxValueLen is the longest value in bytes: 256 MiB.
	MaxValueLen = 256 << 20
)

// A Batch is a list of writes that are applied together or not at all. Later
// writes in it win over earlier ones. Its zero value is empty and ready. Not safe
// for concurrent use.
//
// It is kept in the form it has in the log (LevelDB, write_batch.cc):
//
//	├──────────────┬────────────┼──────┬────────────────┬──────────────────┼ …
//	│ sequence u64 │ count u32  │ kind │ klen, key …    │ vlen, value …    │
//	└──────────────┴────────────┴──────┴────────────────┴──────────────────┘
//
// Words are little-endian, lengths are varints; a deletion has no value, a range
// deletion has its end as value.
type Batch struct {
	rep   []byte // header and records; nil while empty
	count uint32
	need  int   // upper bound of the bytes the records take in a memtable
	err   error // of the first record that was refused; Apply returns it
}

// Put adds a write of value under key. Both are copied. A key or value past
// [MaxKeyLen] or [MaxValueLen] makes Apply fail with [ErrTooLarge].
func (b *Batch) Put(key, value []byte) { b.add(keys.KindSet, key, value) }

// Delete adds the deletion of key, which need not exist.
func (b *Batch) Delete(key []byte) { b.add(keys.KindDelete, key, nil) }

// DeleteRange adds the deletion of every key in [lo, hi) that was written before,
// at the cost of one record. An empty range does nothing, and neither does one that
// ends before it starts: a Batch does not know the order of the keys, and only
// [DB.DeleteRange] can refuse it. The record is stored in RocksDB's form, which
// LevelDB's own tools do not understand.
func (b *Batch) DeleteRange(lo, hi []byte) { b.add(keys.KindRangeDelete, lo, hi) }

// Len returns the number of records.
func (b *Batch) Len() int { return int(b.count) }

// Size returns the bytes the batch takes in the log.
func (b *Batch) Size() int { return max(len(b.rep), batchHeader) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	if b.rep != nil {
		b.rep = b.rep[:batchHeader]
	}
	b.count, b.need, b.err = 0, 0, nil
}

func (b *Batch) add(kind keys.Kind, key, value []byte) {
	most := MaxValueLen
	if kind == keys.KindRangeDelete { // the value is a key, the end of the range
		most = MaxKeyLen
	}
	if len(key) > MaxKeyLen || len(value) > most {
		if b.err == nil {
			b.err = fmt.Errorf("%w: record %d: key of %d and value of %d bytes (most: %d and %d)",
				ErrTooLarge, b.count, len(key), len(value), MaxKeyLen, most)
		}
		return
	}
	if b.rep == nil {
		b.rep = make([]byte, batchHeader, batchHeader+64+len(key)+len(value))
	}
	b.rep = append(b.rep, byte(kind))
	b.rep = binary.AppendUvarint(b.rep, uint64(len(key)))
	b.rep = append(b.rep, key...)
	if kind != keys.KindDelete {
		b.rep = binary.AppendUvarint(b.rep, uint64(len(value)))
		b.rep = append(b.rep, value...)
	}
	b.count++
	b.need += memtable.EntrySize(len(key), len(value))
}

// A batchReader walks the records of a batch in its stored form.
type batchReader struct {
	data  []byte
	kind  keys.Kind
	key   []byte
	value []byte
	err   error
}

// decodeBatch splits the stored form into header and records.
func decodeBatch(rep []byte) (seq keys.SeqNum, count uint32, r batchReader, err error) {
	if len(rep) < batchHeader {
		return 0, 0, batchReader{}, fmt.Errorf("batch of %d bytes has no header", len(rep))
	}
	s := binary.LittleEndian.Uint64(rep)
	if s > uint64(keys.MaxSeqNum) {
		return 0, 0, batchReader{}, fmt.Errorf("sequence number %#x does not fit 56 bits", s)
	}
	return keys.SeqNum(s), binary.LittleEndian.Uint32(rep[8:]), batchReader{data: rep[batchHeader:]}, nil
}

// next moves to the following record and reports whether there is one.
func (r *batchReader) next() bool {
	if len(r.data) == 0 || r.err != nil {
		return false
	}
	r.kind = keys.Kind(r.data[0])
	r.data = r.data[1:]
	switch r.kind {
	case keys.KindSet, keys.KindRangeDelete:
		r.key = r.field()
		r.value = r.field()
	case keys.KindDelete:
		r.key, r.value = r.field(), nil
	default:
		r.err = fmt.Errorf("unknown record kind %#x", uint8(r.kind))
	}
	return r.err == nil
}

// field takes a length and as many bytes.
func (r *batchReader) field() []byte {
	n, used := binary.Uvarint(r.data)
	if r.err != nil || used <= 0 || n > uint64(len(r.data)-used) {
		if r.err == nil {
			r.err = fmt.Errorf("record %v runs past the end of its batch", r.kind)
		}
		return nil
	}
	f := r.data[used : used+int(n) : used+int(n)]
	r.data = r.data[used+int(n):]
	return f
}

// checkBatch reports what is wrong with the records of a batch, so that it is
// applied whole or refused whole.
func checkBatch(r batchReader, count uint32) (need int, err error) {
	n := uint32(0)
	for r.next() {
		n++
		need += memtable.EntrySize(len(r.key), len(r.value))
	}
	if r.err == nil && n != count {
		r.err = fmt.Errorf("batch has %d records, its header says %d", n, count)
	}
	return need, r.err
}
