package table

import (
	"encoding/binary"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// Properties are what a table says about itself in its memlab.table block. A
// table written by others has none: then all fields are zero.
//
// The block has the form of a data block; its keys are the names below, in
// ascending order; numbers are u64, little-endian.
//
//	comparer  deletes  entries  file  largest  max-seq  min-seq  range-deletes
//	raw-keys  raw-values  smallest
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

// props returns the properties block.
func (t *Writer) props() []byte {
	b := blockBuilder{interval: 1}
	num := func(name string, v uint64) {
		b.add([]byte(name), binary.LittleEndian.AppendUint64(nil, v))
	}
	b.add([]byte("comparer"), []byte(t.o.Comparer.Name))
	num("deletes", uint64(t.info.Deletes))
	num("entries", uint64(t.info.Entries))
	num("file", t.o.FileNum)
	b.add([]byte("largest"), t.info.Largest)
	num("max-seq", uint64(t.info.MaxSeq))
	num("min-seq", uint64(t.info.MinSeq))
	num("range-deletes", uint64(t.info.RangeDeletes))
	num("raw-keys", uint64(t.info.RawKeySize))
	num("raw-values", uint64(t.info.RawValueSize))
	b.add([]byte("smallest"), t.info.Smallest)
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

func (p *Properties) set(name string, v []byte) error {
	num := map[string]*uint64{
		"deletes": &p.Deletes, "entries": &p.Entries, "file": &p.FileNum,
		"max-seq": (*uint64)(&p.MaxSeq), "min-seq": (*uint64)(&p.MinSeq),
		"range-deletes": &p.RangeDeletes, "raw-keys": &p.RawKeys, "raw-values": &p.RawValues,
	}[name]
	if num != nil {
		if len(v) != 8 {
			return fmt.Errorf("property %s has %d bytes, want 8", name, len(v))
		}
		*num = binary.LittleEndian.Uint64(v)
		return nil
	}
	switch name {
	case "comparer":
		p.Comparer = string(v)
	case "smallest":
		p.Smallest = append([]byte{}, v...)
	case "largest":
		p.Largest = append([]byte{}, v...)
	}
	return nil
}
