package record

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"
)

// A Reader reads the records of a file in order.
type Reader struct {
	r     io.ReaderAt
	size  int64
	table *crc32.Table

	block    []byte // the block that holds pos, or nil
	blockOff int64  // its offset
	pos      int64  // next chunk
	scratch  []byte // a record that is spread over chunks

	recOff int64  // start of the record last returned
	end    int64  // end of the record last returned
	zeros  int64  // bytes of zeros that ended the file
	bad    *Error // what Next returned, until Skip
	ioErr  error
}

// NewReader returns a Reader over the first size bytes of r.
func NewReader(r io.ReaderAt, size int64) *Reader {
	return &Reader{r: r, size: size, table: castagnoli(), blockOff: -1}
}

// Next returns the next record. The bytes stay valid until the next call.
//
// At the end it returns [io.EOF], with [Reader.ZeroTail] telling whether zeros
// were ignored. Damage is an [*Error]; it is returned again by every call until
// [Reader.Skip] moves past it. Any other error comes from reading.
func (r *Reader) Next() ([]byte, error) {
	if r.ioErr != nil {
		return nil, r.ioErr
	}
	if r.bad != nil {
		return nil, r.bad
	}
	rec, err := r.next()
	if err != nil && err != io.EOF {
		if e, ok := err.(*Error); ok {
			r.bad = e
		} else {
			r.ioErr = err
		}
	}
	return rec, err
}

// next assembles one record from its chunks.
func (r *Reader) next() ([]byte, error) {
	var start int64
	inRecord := false
	r.scratch = r.scratch[:0]
	for {
		c, err := r.chunk()
		if err != nil {
			return nil, r.atEnd(err, inRecord, start)
		}
		switch c.typ {
		case typeFull, typeFirst:
			if inRecord && len(r.scratch) > 0 {
				return nil, r.fragmentError(NoLast, start, c.off)
			}
			start, inRecord = c.off, true
		default:
			if !inRecord {
				return nil, r.fragmentError(NoFirst, c.off, c.off)
			}
		}
		r.pos = c.end
		switch c.typ {
		case typeFull:
			r.recOff, r.end = start, c.end
			return c.payload, nil
		case typeLast:
			r.scratch = append(r.scratch, c.payload...)
			r.recOff, r.end = start, c.end
			return r.scratch, nil
		}
		r.scratch = append(r.scratch, c.payload...)
	}
}

// atEnd turns the end of the chunks into the end of the records: a record that
// is open then was cut.
func (r *Reader) atEnd(err error, inRecord bool, start int64) error {
	if e, ok := err.(*Error); ok {
		if inRecord {
			e.Record = start
		}
		return e
	}
	if err == io.EOF && inRecord {
		return &Error{Off: r.pos, Record: start, Reason: Cut, Next: -1, Size: r.size}
	}
	return err
}

// fragmentError reports a chunk that is valid but does not belong here. It is
// itself what follows.
func (r *Reader) fragmentError(why Reason, start, off int64) error {
	return &Error{Off: off, Record: start, Reason: why, Next: off, Size: r.size}
}

// A chunk is one decoded, verified chunk.
type chunk struct {
	off, end int64
	typ      byte
	payload  []byte
}

// chunk decodes the chunk at r.pos without moving past it, except over the
// padding of a block.
func (r *Reader) chunk() (chunk, error) {
	if BlockSize-r.pos%BlockSize < HeaderLen {
		r.pos += BlockSize - r.pos%BlockSize
	}
	if r.pos >= r.size {
		return chunk{}, io.EOF
	}
	if err := r.load(r.pos); err != nil {
		return chunk{}, err
	}
	b := r.block[r.pos-r.blockOff:]
	c, why := parseChunk(b, r.table)
	if why == 0 {
		c.off, c.end = r.pos, r.pos+c.end
		return c, nil
	}
	if allZero(b[:min(len(b), HeaderLen)]) {
		zero, err := r.zeroToEnd(r.pos)
		if err != nil {
			return chunk{}, err
		}
		if zero {
			r.zeros = r.size - r.pos
			return chunk{}, io.EOF
		}
		why = Zeros
	}
	return chunk{}, r.damage(why)
}

// parseChunk decodes the chunk at the start of b, which ends with its block or
// with the file. The chunk's end is relative to b.
func parseChunk(b []byte, table *crc32.Table) (c chunk, why Reason) {
	if len(b) < HeaderLen {
		return c, Cut
	}
	n := int(binary.LittleEndian.Uint16(b[4:]))
	end := HeaderLen + n
	if end > len(b) {
		if end > BlockSize {
			return c, BadLength
		}
		return c, Cut
	}
	if binary.LittleEndian.Uint32(b) != chunkCRC(table, b[6:end]) {
		return c, BadChecksum
	}
	if b[6] < typeFull || b[6] > typeLast {
		return c, BadType
	}
	return chunk{end: int64(end), typ: b[6], payload: b[HeaderLen:end:end]}, 0
}

// damage describes the bad chunk at r.pos and looks for anything valid behind
// it.
func (r *Reader) damage(why Reason) error {
	b := r.block[r.pos-r.blockOff:]
	if why == Cut && r.blockOff+BlockSize <= r.size {
		why = BadLength // the block goes on, so the length must be wrong
	}
	e := &Error{Off: r.pos, Record: r.pos, Reason: why, Size: r.size}
	end := min(r.pos+int64(len(b)), r.size)
	if why == BadChecksum {
		end = r.pos + HeaderLen + int64(binary.LittleEndian.Uint16(b[4:]))
	}
	flip := why != Zeros && oneFlip(b, r.table)
	next, err := r.findChunk(r.pos+1, false)
	if err != nil {
		return err
	}
	e.Next = next
	if next >= 0 {
		end = min(end, next)
	}
	if why == BadType || flip {
		return e // every byte was written
	}
	if err := r.load(r.pos); err != nil {
		return err
	}
	e.Hole = hasZeroSector(r.block, r.blockOff, r.pos, end)
	return e
}

// oneFlip reports whether the bad chunk at the start of b, which ends with its
// block or with the file, is right but for one bit, and what must follow it
// follows: another chunk, or no room for one. Zeros in it are its own then. O(len(b)).
func oneFlip(b []byte, table *crc32.Table) bool {
	if len(b) < HeaderLen {
		return false
	}
	follows := func(end int) bool {
		if len(b)-end < HeaderLen {
			return true
		}
		_, why := parseChunk(b[end:], table)
		return why == 0
	}
	stored, n := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:])
	for i := range 16 {
		end := HeaderLen + int(n^1<<i)
		if end <= len(b) && chunkCRC(table, b[6:end]) == stored && follows(end) {
			return true
		}
	}
	end := HeaderLen + int(n)
	if end > len(b) || !follows(end) {
		return false
	}
	crc := crc32.Checksum(b[6:end], table)
	if bits.OnesCount32(stored^Mask(crc)) == 1 {
		return true
	}
	// The CRC is linear: a flip changes it by what its place alone says, the last bit
	// by the polynomial, each bit before by one step of the register more.
	want, flip := crc^Unmask(stored), uint32(crc32.Castagnoli)
	for range 8 * (end - 6) {
		if flip == want {
			return true
		}
		flip = flip>>1 ^ -(flip&1)&crc32.Castagnoli
	}
	return false
}

// findChunk returns the offset of the first valid chunk at or behind off, or
// -1. With start it must be one that begins a record.
func (r *Reader) findChunk(off int64, start bool) (int64, error) {
	for off < r.size {
		if err := r.load(off); err != nil {
			return -1, err
		}
		b := r.block[off-r.blockOff:]
		for i := 0; i+HeaderLen <= len(b); i++ {
			t := b[i+6]
			if t < typeFull || t > typeLast || start && t > typeFirst {
				continue
			}
			if _, why := parseChunk(b[i:], r.table); why == 0 {
				return off + int64(i), nil
			}
		}
		off = r.blockOff + BlockSize
	}
	return -1, nil
}

// Skip moves past the damage that Next returned, to the next chunk that begins
// a record, and reports whether there is one. What lies between is lost; its
// bounds are the Error's Record and the returned record's [Reader.Offset].
func (r *Reader) Skip() bool {
	if r.bad == nil || r.ioErr != nil {
		return false
	}
	from := r.bad.Off + 1
	if r.bad.Reason == NoLast {
		from = r.bad.Off
	}
	next, err := r.findChunk(from, true)
	if err != nil {
		r.ioErr = err
		return false
	}
	r.bad = nil
	if next < 0 {
		r.pos = r.size
		return false
	}
	r.pos = next
	return true
}

// Pos returns where the next record is looked for.
func (r *Reader) Pos() int64 { return r.pos }

// Offset returns where the record that Next returned last begins.
func (r *Reader) Offset() int64 { return r.recOff }

// End returns where the record that Next returned last ends: the length the
// file can be cut to without losing a record.
func (r *Reader) End() int64 { return r.end }

// ZeroTail returns how many bytes of zeros, up to the end of the file, were
// taken for space that was never written.
func (r *Reader) ZeroTail() int64 { return r.zeros }

// load reads the block that holds off.
func (r *Reader) load(off int64) error {
	start := off - off%BlockSize
	if r.blockOff == start && r.block != nil {
		return nil
	}
	n := min(BlockSize, r.size-start)
	if cap(r.block) < BlockSize {
		r.block = make([]byte, BlockSize)
	}
	r.block = r.block[:n]
	r.blockOff = start
	k, err := r.r.ReadAt(r.block, start)
	if int64(k) == n {
		return nil
	}
	r.blockOff = -1
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// zeroToEnd reports whether everything from off to the end of the file is zero.
// The block that holds off is loaded again afterwards.
func (r *Reader) zeroToEnd(off int64) (bool, error) {
	for p := off; p < r.size; p = r.blockOff + BlockSize {
		if err := r.load(p); err != nil {
			return false, err
		}
		if !allZero(r.block[p-r.blockOff:]) {
			return false, r.load(off)
		}
	}
	return true, nil
}

// sector is the smallest unit that a disk writes whole.
const sector = 512

// hasZeroSector reports whether a sector that overlaps [from, to) is zero, as
// far as it lies behind from and inside the block.
func hasZeroSector(block []byte, blockOff, from, to int64) bool {
	for s := from - from%sector; s < to; s += sector {
		lo := max(s, from) - blockOff
		hi := min(s+sector-blockOff, int64(len(block)))
		if lo < hi && allZero(block[lo:hi]) {
			return true
		}
	}
	return false
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
