package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/memlab-go/memlab/lsm/internal/record"
)

// castagnoli returns the CRC-32C table; crc32 keeps one for the whole process.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// zstdMax bounds what a zstd block may decompress to. The Writer stores larger
// blocks raw.
const zstdMax = 64 << 20

// snappyMax is more than Snappy can expand: a copy of 64 bytes takes 2 at least.
const snappyMax = 64

// A Decoder decompresses blocks and lends scratch buffers. One serves all
// tables of a store. The zero value is ready; safe for concurrent use; must not be
// copied.
type Decoder struct {
	scratch sync.Pool // *[]byte
	iters   sync.Pool // *blockIter
	once    sync.Once
	zstd    *zstd.Decoder
	zstdErr error
}

// buffer lends a buffer of n bytes.
func (d *Decoder) buffer(n int) *[]byte {
	p, _ := d.scratch.Get().(*[]byte)
	if p == nil {
		p = new([]byte)
	}
	if cap(*p) < n {
		*p = make([]byte, n, max(n, 8<<10))
	}
	*p = (*p)[:n]
	return p
}

// giveBack takes a buffer back. Very large ones are left to the collector.
func (d *Decoder) giveBack(p *[]byte) {
	if cap(*p) <= 1<<20 {
		d.scratch.Put(p)
	}
}

// verify checks a block with its trailer and returns its contents and type.
func verify(b []byte) (contents []byte, typ byte, err error) {
	n := len(b) - trailerLen
	if n < 0 {
		return nil, 0, errors.New("shorter than its trailer")
	}
	got := record.Mask(crc32.Checksum(b[:n+1], castagnoli()))
	if want := binary.LittleEndian.Uint32(b[n+1:]); got != want {
		return nil, 0, fmt.Errorf("checksum is %#x, want %#x", got, want)
	}
	return b[:n:n], b[n], nil
}

// decodedLen returns how long the contents are after decompression. What it
// returns is bounded, whatever the contents claim.
func decodedLen(contents []byte, typ byte) (int, error) {
	var n int
	switch typ {
	case blockRaw:
		return len(contents), nil
	case blockSnappy:
		v, err := snappy.DecodedLen(contents)
		if err != nil || v > snappyMax*len(contents) || v > MaxBlockSize {
			return 0, fmt.Errorf("snappy block of %d bytes claims %d", len(contents), v)
		}
		n = v
	case blockZstd:
		v, k := binary.Uvarint(contents)
		if k <= 0 || v > zstdMax {
			return 0, fmt.Errorf("zstd block of %d bytes claims %d", len(contents), v)
		}
		n = int(v)
	case blockZstdLDB:
		var h zstd.Header
		if err := h.Decode(contents); err != nil || !h.HasFCS || h.FrameContentSize > zstdMax {
			return 0, errors.New("zstd block without a plausible size")
		}
		n = int(h.FrameContentSize)
	default:
		return 0, fmt.Errorf("unknown block type %d", typ)
	}
	return n, nil
}

// decode decompresses contents into dst, whose length decodedLen gave.
func (d *Decoder) decode(dst, contents []byte, typ byte) error {
	switch typ {
	case blockRaw:
		copy(dst, contents)
		return nil
	case blockSnappy:
		out, err := snappy.Decode(dst, contents)
		if err != nil || len(out) != len(dst) {
			return fmt.Errorf("snappy: %w", errors.Join(err, errLength(len(out), len(dst))))
		}
		return nil
	case blockZstd:
		_, k := binary.Uvarint(contents)
		contents = contents[k:]
	}
	d.once.Do(func() {
		d.zstd, d.zstdErr = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0),
			zstd.WithDecoderMaxMemory(zstdMax), zstd.WithDecoderLowmem(true))
	})
	if d.zstdErr != nil {
		return d.zstdErr
	}
	out, err := d.zstd.DecodeAll(contents, dst[:0])
	if err != nil || len(out) != len(dst) {
		return fmt.Errorf("zstd: %w", errors.Join(err, errLength(len(out), len(dst))))
	}
	return nil
}

func errLength(got, want int) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("decompressed to %d bytes, want %d", got, want)
}

// An encoder compresses blocks for one Writer.
type encoder struct {
	kind Compression
	zstd *zstd.Encoder
	buf  []byte
}

// encode returns the contents to store for raw, and their type. The result may
// alias raw or e's buffer.
func (e *encoder) encode(raw []byte) (contents []byte, typ byte, err error) {
	switch {
	case e.kind == Snappy:
		if n := s2.MaxEncodedLen(len(raw)); cap(e.buf) < n {
			e.buf = make([]byte, n)
		}
		contents, typ = s2.EncodeSnappy(e.buf[:cap(e.buf)], raw), blockSnappy
	case e.kind == Zstd && len(raw) <= zstdMax:
		if e.zstd == nil {
			e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
			if err != nil {
				return nil, 0, err
			}
		}
		e.buf = e.zstd.EncodeAll(raw, binary.AppendUvarint(e.buf[:0], uint64(len(raw))))
		contents, typ = e.buf, blockZstd
	}
	if contents == nil || len(contents) >= len(raw)-len(raw)/8 {
		return raw, blockRaw, nil
	}
	return contents, typ, nil
}
