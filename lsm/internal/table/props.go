package table

import (
	"encoding/binary"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// Properties are what a table says about itself. They stand in a block under
// RocksDB's name and with RocksDB's keys where it has them, so that its tools
// show them; numbers are varints. Ours are added as RocksDB's own users add
// theirs. A table written by LevelDB has none: then all fields are zero.
//
// The block has the form of a data block, keys ascending:
//
//	memlab.largest       internal key
//	memlab.seq.max       number
//	memlab.seq.min       number
//	memlab.smallest      internal key
//	memlab.table         number of the table, 0 for none
//	rocksdb.comparator   name
//	rocksdb.data.size  rocksdb.deleted.keys  rocksdb.num.data.blocks
//	rocksdb.num.entries  rocksdb.num.range-deletions
//	rocksdb.raw.key.size  rocksdb.raw.value.size
type Properties struct {
	Present      bool   // the block is there
	FileNum      uint64 // 0: the table was made without a number
	Comparer     string
	Entries      uint64
	Deletes      uint64
	RangeDeletes uint64
	RawKeys      uint64 // bytes
	RawValues    uint64 // bytes
	MinSeq       keys.SeqNum
	MaxSeq       keys.SeqNum
	Smallest     []byte // internal key
	Largest      []byte // internal key
}

// Names in the properties block.
const (
	propLargest  = "memlab.largest"
	propMaxSeq   = "memlab.seq.max"
	propMinSeq   = "memlab.seq.min"
	propSmallest = "memlab.smallest"
	propTable    = "memlab.table"
	propComparer = "rocksdb.comparator"
	propDataSize = "rocksdb.data.size"
	propDeletes  = "rocksdb.deleted.keys"
	propBlocks   = "rocksdb.num.data.blocks"
	propEntries  = "rocksdb.num.entries"
	propRanges   = "rocksdb.num.range-deletions"
	propRawKeys  = "rocksdb.raw.key.size"
	propRawVals  = "rocksdb.raw.value.size"
)

// props returns the properties block.
func (t *Writer) props() []byte {
	b := blockBuilder{interval: 1}
	num := func(name string, v uint64) {
		b.add([]byte(name), binary.AppendUvarint(nil, v))
	}
	b.add([]byte(propLargest), t.info.Largest)
	num(propMaxSeq, uint64(t.info.MaxSeq))
	num(propMinSeq, uint64(t.info.MinSeq))
	b.add([]byte(propSmallest), t.info.Smallest)
	num(propTable, t.o.FileNum)
	b.add([]byte(propComparer), []byte(t.o.Comparer.Name))
	num(propDataSize, t.info.dataSize)
	num(propDeletes, uint64(t.info.Deletes))
	num(propBlocks, uint64(t.index.entries))
	num(propEntries, uint64(t.info.Entries))
	num(propRanges, uint64(t.info.RangeDeletes))
	num(propRawKeys, uint64(t.info.RawKeySize))
	num(propRawVals, uint64(t.info.RawValueSize))
	return b.finish()
}

// parseProps decodes a properties block. Names it does not know are skipped.
func parseProps(contents []byte) (Properties, error) {
	p := Properties{Present: true}
	var it blockIter
	if err := it.init(contents, nil); err != nil {
		return Properties{}, err
	}
	for ok := it.first(); ok; ok = it.next() {
		if err := p.set(string(it.key), it.val); err != nil {
			return Properties{}, err
		}
	}
	return p, it.err
}

// set takes over one property.
func (p *Properties) set(name string, v []byte) error {
	switch name {
	case propComparer:
		p.Comparer = string(v)
	case propSmallest:
		p.Smallest = append([]byte{}, v...)
	case propLargest:
		p.Largest = append([]byte{}, v...)
	}
	dst := p.number(name)
	if dst == nil {
		return nil
	}
	x, n := binary.Uvarint(v)
	if n <= 0 || n != len(v) {
		return fmt.Errorf("property %s is no number: %x", name, v)
	}
	*dst = x
	return nil
}

// number returns where the number with this name goes, nil when nowhere.
func (p *Properties) number(name string) *uint64 {
	switch name {
	case propMaxSeq:
		return (*uint64)(&p.MaxSeq)
	case propMinSeq:
		return (*uint64)(&p.MinSeq)
	case propTable:
		return &p.FileNum
	case propDeletes:
		return &p.Deletes
	case propEntries:
		return &p.Entries
	case propRanges:
		return &p.RangeDeletes
	case propRawKeys:
		return &p.RawKeys
	case propRawVals:
		return &p.RawValues
	}
	return nil
}
