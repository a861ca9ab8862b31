package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/record"
)

// WriterOptions says how a table is written. Zero fields mean the defaults.
type WriterOptions struct {
	Comparer        *keys.Comparer // Bytewise
	BlockSize       int            // bytes of a data block before compression; 4096
	RestartInterval int            // entries between restart points; 16
	Compression     Compression    // Snappy
	BitsPerKey      float64        // of the bloom filter; ≤ 0: no filter
	FileNum         uint64         // the table's own number, kept in it; 0: none
}

// Info describes a finished table.
type Info struct {
	Size         int64       // bytes of the file
	Entries      int         // without range tombstones
	Deletes      int         // of them, tombstones
	RangeDeletes int         // range tombstones
	RawKeySize   int64       // bytes of internal keys before compression
	RawValueSize int64       // bytes of values before compression
	Smallest     []byte      // first internal key, nil without entries
	Largest      []byte      // last internal key, nil without entries
	MinSeq       keys.SeqNum // over entries and range tombstones
	MaxSeq       keys.SeqNum

	dataSize uint64 // bytes of the data blocks with trailers
}

// A Writer writes one table. Not safe for concurrent use.
//
// After an error it refuses further work with the same error, and the file is
// to be removed.
type Writer struct {
	w    io.Writer
	o    WriterOptions
	out  []byte // written blocks that w does not have yet
	off  uint64 // file offset behind out
	err  error
	info Info

	data      blockBuilder
	index     blockBuilder
	filter    *filter.Builder
	enc       encoder
	lastKey   []byte
	separator []byte
	pending   handle // data block whose index entry waits for the next key
	isPending bool
	ranges    []rangeDelete
}

type rangeDelete struct{ key, end []byte }

// outSize is how many bytes are collected before they are written.
const outSize = 128 << 10

// NewWriter returns a Writer of a table at the start of w. It does not close w.
func NewWriter(w io.Writer, o *WriterOptions) *Writer {
	t := &Writer{w: w}
	if o != nil {
		t.o = *o
	}
	if t.o.Comparer == nil {
		t.o.Comparer = keys.Bytewise()
	}
	if t.o.BlockSize <= 0 {
		t.o.BlockSize = 4096
	}
	if t.o.RestartInterval <= 0 {
		t.o.RestartInterval = 16
	}
	t.data.interval = t.o.RestartInterval
	t.index.interval = 1
	t.enc.kind = t.o.Compression
	if t.o.BitsPerKey > 0 {
		t.filter = filter.NewBuilder(t.o.BitsPerKey)
		t.filter.StartBlock(0)
	}
	t.info.MinSeq = keys.MaxSeqNum
	return t
}

// Add appends an entry. Internal keys must ascend strictly.
func (t *Writer) Add(ikey, value []byte) error {
	if t.err != nil {
		return t.err
	}
	if !keys.Valid(ikey) {
		return t.fail(fmt.Errorf("table: add: %s", keys.Format(ikey)))
	}
	if t.info.Entries > 0 && t.o.Comparer.CompareInternal(t.lastKey, ikey) >= 0 {
		return t.fail(fmt.Errorf("table: add: %s is not after %s", keys.Format(ikey), keys.Format(t.lastKey)))
	}
	if uint64(len(ikey))+uint64(len(value)) > MaxBlockSize/2 {
		return t.fail(fmt.Errorf("table: add: entry of %d bytes is too large", len(ikey)+len(value)))
	}
	if t.isPending {
		t.separator = t.o.Comparer.SeparatorInternal(t.separator[:0], t.lastKey, ikey)
		t.addIndex()
	}
	if t.info.Entries == 0 {
		t.info.Smallest = append([]byte{}, ikey...)
	}
	if t.filter != nil {
		t.filter.Add(filter.Hash(keys.User(ikey)))
	}
	t.lastKey = append(t.lastKey[:0], ikey...)
	t.data.add(ikey, value)
	t.count(ikey, len(value))
	if t.data.size() >= t.o.BlockSize {
		t.flushBlock()
	}
	return t.err
}

// count keeps the figures of Info.
func (t *Writer) count(ikey []byte, valueSize int) {
	t.info.Entries++
	if keys.KindOf(ikey) == keys.KindDelete {
		t.info.Deletes++
	}
	t.info.RawKeySize += int64(len(ikey))
	t.info.RawValueSize += int64(valueSize)
	t.countSeq(keys.SeqOf(ikey))
}

func (t *Writer) countSeq(seq keys.SeqNum) {
	t.info.MinSeq = min(t.info.MinSeq, seq)
	t.info.MaxSeq = max(t.info.MaxSeq, seq)
}

// AddRangeDelete adds a range tombstone: at seq, every key in [start, end) is
// gone. They come in any order, at any time before Finish. LevelDB's readers do
// not see range tombstones.
func (t *Writer) AddRangeDelete(start, end []byte, seq keys.SeqNum) error {
	if t.err != nil {
		return t.err
	}
	if t.o.Comparer.Compare(start, end) >= 0 {
		return t.fail(fmt.Errorf("table: range delete from %q to %q is empty", start, end))
	}
	t.ranges = append(t.ranges, rangeDelete{keys.Make(start, seq, keys.KindRangeDelete), slices.Clone(end)})
	t.info.RangeDeletes++
	t.countSeq(seq)
	return nil
}

// EstimatedSize returns about how many bytes the file would have if it were
// finished now, indexes included.
func (t *Writer) EstimatedSize() uint64 {
	n := t.off + uint64(t.data.size()) + uint64(t.index.size())
	if t.filter != nil {
		n += uint64(t.filter.Size())
	}
	return n
}

// Entries returns how many entries were added.
func (t *Writer) Entries() int { return t.info.Entries }

// Finish writes the rest of the table. The file is complete then; syncing and
// closing it is the caller's. A table without entries is legal.
func (t *Writer) Finish() (Info, error) {
	if t.err != nil {
		return Info{}, t.err
	}
	t.flushBlock()
	if t.isPending {
		t.separator = t.o.Comparer.SuccessorInternal(t.separator[:0], t.lastKey)
		t.addIndex()
	}
	t.info.Largest = slices.Clone(t.lastKey)
	if t.info.Entries == 0 {
		t.info.Largest = nil
	}
	t.info.MinSeq = min(t.info.MinSeq, t.info.MaxSeq) // a table without anything has neither
	meta := t.writeMeta()
	index := t.writeBlock(t.index.finish(), true)
	t.out = appendFooter(t.out, meta, index)
	t.off += footerLen
	t.flushOut()
	if t.err != nil {
		return Info{}, t.err
	}
	t.info.Size = int64(t.off)
	info := t.info
	t.err = errors.New("table: writer is finished")
	return info, nil
}

// writeMeta writes the blocks that the metaindex names, and it.
func (t *Writer) writeMeta() handle {
	meta := blockBuilder{interval: 1}
	t.info.dataSize = t.off
	if t.filter != nil {
		h := t.writeBlock(t.filter.Finish(), false)
		meta.add([]byte(filterKey+filter.PolicyName), h.append(nil))
	}
	// The names must ascend, and the blocks may come in any order.
	props := t.writeBlock(t.props(), false)
	meta.add([]byte(propsKey), props.append(nil))
	if len(t.ranges) > 0 {
		h := t.writeBlock(t.rangeBlock(), false)
		meta.add([]byte(rangeKey), h.append(nil))
	}
	return t.writeBlock(meta.finish(), false)
}

// rangeBlock sorts the range tombstones into a block.
func (t *Writer) rangeBlock() []byte {
	slices.SortStableFunc(t.ranges, func(a, b rangeDelete) int {
		return t.o.Comparer.CompareInternal(a.key, b.key)
	})
	b := blockBuilder{interval: 1}
	for _, r := range t.ranges {
		b.add(r.key, r.end)
	}
	return b.finish()
}

// flushBlock writes the data block, if it has entries.
func (t *Writer) flushBlock() {
	if t.err != nil || t.data.entries == 0 {
		return
	}
	t.pending = t.writeBlock(t.data.finish(), true)
	t.isPending = true
	t.data.reset()
	if t.filter != nil {
		t.filter.StartBlock(t.off)
	}
}

// addIndex adds the entry of the pending block under t.separator.
func (t *Writer) addIndex() {
	var buf [2 * binary.MaxVarintLen64]byte
	t.index.add(t.separator, t.pending.append(buf[:0]))
	t.isPending = false
}

// writeBlock writes contents with their trailer.
func (t *Writer) writeBlock(raw []byte, compress bool) handle {
	contents, typ := raw, byte(blockRaw)
	if compress && t.o.Compression != None {
		var err error
		if contents, typ, err = t.enc.encode(raw); err != nil {
			t.fail(err)
			return handle{}
		}
	}
	h := handle{t.off, uint64(len(contents))}
	base := len(t.out)
	t.out = append(append(t.out, contents...), typ)
	crc := record.Mask(crc32.Checksum(t.out[base:], castagnoli()))
	t.out = binary.LittleEndian.AppendUint32(t.out, crc)
	t.off += uint64(len(t.out) - base)
	if len(t.out) >= outSize {
		t.flushOut()
	}
	return h
}

func (t *Writer) flushOut() {
	if t.err != nil || len(t.out) == 0 {
		return
	}
	n, err := t.w.Write(t.out)
	if err == nil && n < len(t.out) {
		err = io.ErrShortWrite
	}
	if err != nil {
		t.fail(err)
	}
	t.out = t.out[:0]
}

func (t *Writer) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return t.err
}
