package trace

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

// The compact form, which memlab embeds, keeps each field of the operations in
// a column of its own, so that like stands beside like, and compresses the lot:
//
//	"memlabT1"                        8 bytes
//	one zstd frame with a checksum of
//	  uvarint  version, 1
//	  uvarint  operations of the full trace, 0 unless this is a prefix
//	  uvarint  suggested heap size, weight, ids, n operations
//	  uvarint  lengths in bytes of the four columns below
//	  column   n bytes: the kinds
//	  column   varints: Malloc and Calloc: id less the highest id so far, less 1
//	  column   varints: Free and Realloc: highest id so far less id
//	  column   uvarints: sizes; of a Calloc count, then size
//
// Varints are those of encoding/binary.
const compactMagic = "memlabT1"

const compactVersion = 1

// A Free of nil stands in the column of frees as this distance.
const nilDistance = math.MinInt64

// WriteCompact writes t in the compact form. The name is not kept.
func WriteCompact(w io.Writer, t *Trace) error {
	var kinds, news, olds, sizes []byte
	top := int64(-1)
	for _, o := range t.Ops {
		kinds = append(kinds, byte(o.Kind))
		id := int64(o.ID)
		switch o.Kind {
		case Malloc, Calloc:
			news = binary.AppendVarint(news, id-top-1)
			top = max(top, id)
		default:
			d := top - id
			if id == NoID {
				d = nilDistance
			}
			olds = binary.AppendVarint(olds, d)
		}
		if o.Kind == Calloc {
			sizes = binary.AppendUvarint(sizes, uint64(o.Count))
		}
		if o.Kind != Free {
			sizes = binary.AppendUvarint(sizes, uint64(o.Size))
		}
	}
	full := int64(0)
	if t.Prefix {
		full = t.FullOps
	}
	var out []byte
	for _, v := range [...]int64{compactVersion, full, t.Suggested, t.Weight, int64(t.IDs), int64(len(t.Ops)),
		int64(len(kinds)), int64(len(news)), int64(len(olds)), int64(len(sizes))} {
		out = binary.AppendUvarint(out, uint64(v))
	}
	for _, col := range [...][]byte{kinds, news, olds, sizes} {
		out = append(out, col...)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	defer enc.Close()
	_, err = w.Write(enc.EncodeAll(out, []byte(compactMagic)))
	return err
}

// readCompact reads what WriteCompact wrote; r starts at the magic.
func readCompact(r *bufio.Reader, file string, l *Limits) (*Trace, error) {
	lim := l.withDefaults()
	bad := func(format string, args ...any) error {
		return &ParseError{File: file, Offset: int64(len(compactMagic)), Msg: fmt.Sprintf(format, args...)}
	}
	r.Discard(len(compactMagic))
	dec, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(lim.MaxBytes)), zstd.WithDecoderMaxWindow(256<<20))
	if err != nil {
		return nil, bad("%v", err)
	}
	defer dec.Close()
	var data bytes.Buffer
	if _, err := io.Copy(&data, io.LimitReader(dec, lim.MaxBytes+1)); err != nil {
		return nil, bad("%v", err)
	}
	if int64(data.Len()) > lim.MaxBytes {
		return nil, bad("trace larger than its limit of %d bytes", lim.MaxBytes)
	}
	c := columns{bytes: data.Bytes()}
	t, err := c.trace(lim)
	if err != nil {
		return nil, bad("%v", err)
	}
	t.Name = BaseName(file)
	return t, nil
}

// columns is the decompressed body of a compact trace and its parts.
type columns struct {
	bytes                    []byte
	kinds, news, olds, sizes column
}

// A column is bytes that are consumed from the front; short is set when one of
// the take functions found too few.
type column struct {
	b     []byte
	short bool
}

func (c *column) uvarint() int64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || v > math.MaxInt64 {
		c.short, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return int64(v)
}

func (c *column) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.short, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

// trace decodes the body.
func (c *columns) trace(lim Limits) (*Trace, error) {
	head := column{b: c.bytes}
	var h [10]int64
	for i := range h {
		h[i] = head.uvarint()
	}
	switch {
	case head.short:
		return nil, fmt.Errorf("header cut short")
	case h[0] != compactVersion:
		return nil, fmt.Errorf("version %d, want %d", h[0], compactVersion)
	case h[4] > int64(lim.MaxIDs) || h[5] > int64(lim.MaxOps):
		return nil, fmt.Errorf("%d ids and %d operations, above the limits of %d and %d", h[4], h[5], lim.MaxIDs, lim.MaxOps)
	}
	body := head.b
	for i, col := range [...]*column{&c.kinds, &c.news, &c.olds, &c.sizes} {
		n := h[6+i]
		if n > int64(len(body)) {
			return nil, fmt.Errorf("column %d of %d bytes is cut short", i+1, n)
		}
		col.b, body = body[:n], body[n:]
	}
	if len(c.kinds.b) != int(h[5]) || len(body) != 0 {
		return nil, fmt.Errorf("columns do not match the %d operations", h[5])
	}
	t := &Trace{Prefix: h[1] != 0, FullOps: h[1], Suggested: h[2], Weight: h[3], IDs: int(h[4]), Ops: make([]Op, h[5])}
	return t, c.ops(t)
}

// ops decodes the operations into t.Ops and checks each.
func (c *columns) ops(t *Trace) error {
	chk := checker{ids: t.IDs}
	top := int64(-1)
	for i := range t.Ops {
		o := Op{Kind: Kind(c.kinds.b[i])}
		id := int64(0)
		switch o.Kind {
		case Malloc, Calloc:
			id = c.news.varint() + top + 1
			top = max(top, id)
		case Free, Realloc:
			if d := c.olds.varint(); d == nilDistance {
				id = NoID
			} else {
				id = top - d
			}
		}
		if id < NoID || id > math.MaxInt32 {
			return fmt.Errorf("operation %d: bad id %d", i+1, id)
		}
		o.ID = int32(id)
		if o.Kind == Calloc {
			o.Count = c.sizes.uvarint()
		}
		if o.Kind != Free {
			o.Size = c.sizes.uvarint()
		}
		if c.news.short || c.olds.short || c.sizes.short {
			return fmt.Errorf("operation %d: cut short", i+1)
		}
		if _, msg := chk.check(o); msg != "" {
			return fmt.Errorf("operation %d: %s", i+1, msg)
		}
		t.Ops[i] = o
	}
	return nil
}
