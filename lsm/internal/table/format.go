package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	magic      = 0xdb4775248b80fb57
	footerLen  = 48
	trailerLen = 5 // type and checksum behind a block

	// MaxBlockSize is the most bytes a block may have after decompression.
	MaxBlockSize = 1 << 30

	filterKey = "filter."
	propsKey  = "rocksdb.properties"
	rangeKey  = "rocksdb.range_del"
)

// Compression says how data and index blocks are stored. A block that would
// not shrink by an eighth is stored raw.
type Compression uint8

// The compressions.
const (
	Snappy Compression = iota // fast; every LevelDB reads it
	None
	Zstd // denser and slower; only RocksDB's tools and this package read it
)

// String names c.
func (c Compression) String() string {
	switch c {
	case Snappy:
		return "snappy"
	case None:
		return "none"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("compression %d", uint8(c))
}

// Block types on disk.
const (
	blockRaw     = 0
	blockSnappy  = 1
	blockZstdLDB = 2 // LevelDB 1.24: a bare zstd frame
	blockZstd    = 7
)

// A handle says where a block is: its offset, and its size without trailer.
type handle struct {
	off, size uint64
}

func (h handle) append(dst []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, h.off), h.size)
}

// decodeHandle takes a handle off the front of b.
func decodeHandle(b []byte) (h handle, rest []byte, err error) {
	off, n := binary.Uvarint(b)
	if n <= 0 {
		return h, nil, fmt.Errorf("bad block handle")
	}
	size, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return h, nil, fmt.Errorf("bad block handle")
	}
	return handle{off, size}, b[n+m:], nil
}

// check says what is wrong with a handle in a file whose blocks end at limit.
func (h handle) check(limit int64) error {
	end := uint64(limit)
	if h.off > end || h.size > end-h.off || end-h.off-h.size < trailerLen {
		return fmt.Errorf("block at %#x of %d bytes is not inside the file", h.off, h.size)
	}
	if h.size > MaxBlockSize {
		return fmt.Errorf("block at %#x of %d bytes is too large", h.off, h.size)
	}
	return nil
}

// appendFooter appends the footer to dst.
func appendFooter(dst []byte, meta, index handle) []byte {
	base := len(dst)
	dst = index.append(meta.append(dst))
	for len(dst) < base+footerLen-8 {
		dst = append(dst, 0)
	}
	return binary.LittleEndian.AppendUint64(dst, magic)
}

// decodeFooter decodes the last footerLen bytes of a file of size bytes.
func decodeFooter(b []byte, size int64) (meta, index handle, err error) {
	if m := binary.LittleEndian.Uint64(b[footerLen-8:]); m != magic {
		return meta, index, fmt.Errorf("magic is %#x, want %#x", m, uint64(magic))
	}
	meta, rest, err := decodeHandle(b[:footerLen-8])
	if err != nil {
		return meta, index, fmt.Errorf("metaindex: %w", err)
	}
	if index, _, err = decodeHandle(rest); err != nil {
		return meta, index, fmt.Errorf("index: %w", err)
	}
	if !bytes.Equal(b, appendFooter(nil, meta, index)) {
		return meta, index, fmt.Errorf("handles or padding are not as they are written")
	}
	if err := meta.check(size - footerLen); err != nil {
		return meta, index, fmt.Errorf("metaindex: %w", err)
	}
	if err := index.check(size - footerLen); err != nil {
		return meta, index, fmt.Errorf("index: %w", err)
	}
	return meta, index, nil
}
