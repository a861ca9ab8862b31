package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// NumLevels is the largest number of levels an edit may name. LevelDB has 7.
const NumLevels = 7

// Tags of the fields.
const (
	tagComparer       = 1
	tagLogNumber      = 2
	tagNextFile       = 3
	tagLastSeq        = 4
	tagCompactPointer = 5
	tagDeletedTable   = 6
	tagNewTable       = 7
	tagPrevLog        = 9
	tagFamily         = 200
	tagAddFamily      = 201
	tagDropFamily     = 202
	tagMaxFamily      = 203

	tagIgnorable = 1 << 13 // bit of tags that may be skipped
)

// A TableMeta describes a live table.
type TableMeta struct {
	Level    int
	Num      uint64
	Size     uint64 // bytes of the file
	Smallest []byte // internal key
	Largest  []byte // internal key
}

// A TableRef names a table on a level.
type TableRef struct {
	Level int
	Num   uint64
}

// A CompactPointer says where the next compaction of a level starts.
type CompactPointer struct {
	Level int
	Key   []byte // internal key
}

// An Edit is one record of a MANIFEST. Nil and empty fields are absent.
type Edit struct {
	Comparer *string      // name of the order of user keys
	LogNum   *uint64      // logs below it are obsolete
	PrevLog  *uint64      // LevelDB wrote it during old compactions
	NextFile *uint64      // larger than every file number in use
	LastSeq  *keys.SeqNum // largest sequence number in the tables

	CompactPointers []CompactPointer
	Deleted         []TableRef
	Added           []TableMeta

	Family     uint32  // column family the edit is about
	AddFamily  *string // the edit creates it, with this name
	DropFamily bool    // the edit removes it
	MaxFamily  *uint32 // largest id ever given
}

// Encode appends e to dst, in LevelDB's order of fields.
func (e *Edit) Encode(dst []byte) []byte {
	u := binary.AppendUvarint
	if e.Comparer != nil {
		dst = appendString(u(dst, tagComparer), *e.Comparer)
	}
	dst = appendField(dst, tagLogNumber, e.LogNum)
	dst = appendField(dst, tagPrevLog, e.PrevLog)
	dst = appendField(dst, tagNextFile, e.NextFile)
	dst = appendField(dst, tagLastSeq, (*uint64)(e.LastSeq))
	for _, p := range e.CompactPointers {
		dst = u(u(dst, tagCompactPointer), uint64(p.Level))
		dst = appendString(dst, p.Key)
	}
	for _, d := range e.Deleted {
		dst = u(u(u(dst, tagDeletedTable), uint64(d.Level)), d.Num)
	}
	for _, t := range e.Added {
		dst = u(u(u(u(dst, tagNewTable), uint64(t.Level)), t.Num), t.Size)
		dst = appendString(appendString(dst, t.Smallest), t.Largest)
	}
	return e.encodeFamily(dst)
}

// encodeFamily appends RocksDB's fields, if there are any.
func (e *Edit) encodeFamily(dst []byte) []byte {
	u := binary.AppendUvarint
	if e.MaxFamily != nil {
		dst = u(u(dst, tagMaxFamily), uint64(*e.MaxFamily))
	}
	if e.Family != 0 {
		dst = u(u(dst, tagFamily), uint64(e.Family))
	}
	if e.AddFamily != nil {
		dst = appendString(u(dst, tagAddFamily), *e.AddFamily)
	}
	if e.DropFamily {
		dst = u(dst, tagDropFamily)
	}
	return dst
}

func appendField(dst []byte, tag uint64, v *uint64) []byte {
	if v == nil {
		return dst
	}
	return binary.AppendUvarint(binary.AppendUvarint(dst, tag), *v)
}

func appendString[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Decode sets e to the edit that b holds. It copies what it keeps. An error
// names the field; e is then unspecified.
func (e *Edit) Decode(b []byte) error {
	*e = Edit{}
	d := decoder{b: b}
	for len(d.b) > 0 && d.err == nil {
		e.field(&d, d.uvarint("tag"))
	}
	if d.err != nil {
		return fmt.Errorf("manifest: edit of %d bytes: %w", len(b), d.err)
	}
	return nil
}

// field decodes the value of one tag.
func (e *Edit) field(d *decoder, tag uint64) {
	if d.err != nil {
		return
	}
	switch tag {
	case tagComparer:
		e.Comparer = new(string(d.bytes("comparator")))
	case tagLogNumber:
		e.LogNum = new(d.fileNum("log number"))
	case tagPrevLog:
		e.PrevLog = new(d.fileNum("previous log number"))
	case tagNextFile:
		e.NextFile = new(d.fileNum("next file number"))
	case tagLastSeq:
		e.LastSeq = new(d.seq("last sequence"))
	case tagCompactPointer:
		p := CompactPointer{Level: d.level("compact pointer")}
		p.Key = d.key("compact pointer")
		e.CompactPointers = append(e.CompactPointers, p)
	case tagDeletedTable:
		t := TableRef{Level: d.level("deleted table")}
		t.Num = d.fileNum("deleted table")
		e.Deleted = append(e.Deleted, t)
	case tagNewTable:
		e.Added = append(e.Added, d.table())
	default:
		e.familyField(d, tag)
	}
}

// familyField decodes the tags of RocksDB.
func (e *Edit) familyField(d *decoder, tag uint64) {
	switch {
	case tag == tagFamily:
		e.Family = d.uint32("column family")
	case tag == tagAddFamily:
		e.AddFamily = new(string(d.bytes("column family name")))
	case tag == tagDropFamily:
		e.DropFamily = true
	case tag == tagMaxFamily:
		e.MaxFamily = new(d.uint32("largest column family"))
	case tag&tagIgnorable != 0:
		d.bytes("ignorable field")
	default:
		d.fail(fmt.Errorf("unknown tag %d", tag))
	}
}

// A decoder takes values off the front of b. After an error it returns zeros.
type decoder struct {
	b   []byte
	err error
}

var errShort = errors.New("ends too early")

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) uvarint(what string) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(fmt.Errorf("%s: %w", what, errShort))
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32(what string) uint32 {
	v := d.uvarint(what)
	if v > 1<<32-1 {
		d.fail(fmt.Errorf("%s: %d does not fit 32 bits", what, v))
		return 0
	}
	return uint32(v)
}

func (d *decoder) fileNum(what string) uint64 {
	v := d.uvarint(what)
	if v > filename.MaxNum {
		d.fail(fmt.Errorf("%s: %d, the largest is %d", what, v, uint64(filename.MaxNum)))
		return 0
	}
	return v
}

func (d *decoder) seq(what string) keys.SeqNum {
	v := keys.SeqNum(d.uvarint(what))
	if v > keys.MaxSeqNum {
		d.fail(fmt.Errorf("%s: %d does not fit 56 bits", what, v))
		return 0
	}
	return v
}

func (d *decoder) level(what string) int {
	v := d.uvarint(what)
	if v >= NumLevels {
		d.fail(fmt.Errorf("%s: level %d, there are %d", what, v, NumLevels))
		return 0
	}
	return int(v)
}

func (d *decoder) bytes(what string) []byte {
	n := d.uvarint(what)
	if n > uint64(len(d.b)) {
		d.fail(fmt.Errorf("%s: %w", what, errShort))
		return nil
	}
	s := append([]byte{}, d.b[:n]...)
	d.b = d.b[n:]
	return s
}

func (d *decoder) key(what string) []byte {
	k := d.bytes(what)
	if d.err == nil && !keys.Valid(k) {
		d.fail(fmt.Errorf("%s: %s", what, keys.Format(k)))
	}
	return k
}

func (d *decoder) table() TableMeta {
	t := TableMeta{Level: d.level("new table")}
	t.Num = d.fileNum("new table number")
	t.Size = d.uvarint("new table size")
	t.Smallest = d.key("new table's smallest key")
	t.Largest = d.key("new table's largest key")
	return t
}
