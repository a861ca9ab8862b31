package record

import (
	"fmt"
	"hash/crc32"
	"io"
)

// A Writer frames records and writes them to a file. It owns no file: the
// caller syncs and closes it.
//
// After a failed write the file may end anywhere inside a chunk, so the Writer
// refuses further work with the same error: nothing is ever appended behind
// garbage. The caller truncates the file to [Writer.Written] or starts another.
type Writer struct {
	w     io.Writer
	table *crc32.Table
	buf   []byte // framed, not written yet; len ≤ cap, never reallocated unless it was nil
	size  int64  // file length once buf is written
	err   error

	typeCRC [typeLast + 1]uint32 // checksum of each type byte, with which a chunk's begins
}

// defaultBuf is the buffer size when the caller brings no memory.
const defaultBuf = 2 * BlockSize

// NewWriter returns a Writer that appends to w, which holds size bytes so far
// (0 for a new file). buf is memory for the buffer, at least 1 KiB, possibly
// off the Go heap, and belongs to the Writer until the caller stops using it; nil
// means 64 KiB of the Writer's own. A buffer that fills up is written out, so a
// group that fits goes out in one write.
func NewWriter(w io.Writer, buf []byte, size int64) *Writer {
	if cap(buf) < 1<<10 {
		buf = make([]byte, 0, defaultBuf)
	}
	t := &Writer{w: w, table: castagnoli(), buf: buf[:0], size: size}
	for typ := range t.typeCRC {
		t.typeCRC[typ] = crc32.Checksum([]byte{byte(typ)}, t.table)
	}
	return t
}

// Append frames one record, whose payload is the concatenation of parts, into
// the buffer. An empty record is legal. On error nothing more can be written.
func (w *Writer) Append(parts ...[]byte) error {
	if w.err != nil {
		return w.err
	}
	left := 0
	for _, p := range parts {
		left += len(p)
	}
	first, i := true, 0
	for {
		room, err := w.startChunk()
		if err != nil {
			return err
		}
		n := min(left, room)
		left -= n
		i, err = w.chunk(chunkType(first, left == 0), n, parts, i)
		if err != nil || left == 0 {
			return err
		}
		first = false
	}
}

func chunkType(first, last bool) byte {
	switch {
	case first && last:
		return typeFull
	case first:
		return typeFirst
	case last:
		return typeLast
	}
	return typeMiddle
}

// startChunk pads the block if a header does not fit and returns how much
// payload the block takes.
func (w *Writer) startChunk() (room int, err error) {
	left := BlockSize - int(w.size%BlockSize)
	if left < HeaderLen {
		if err := w.put(make([]byte, HeaderLen)[:left]); err != nil {
			return 0, err
		}
		left = BlockSize
	}
	return left - HeaderLen, nil
}

// chunk frames the next n bytes of parts, from parts[i] on, and returns the
// first part that is not used up; parts is changed to begin at its rest.
func (w *Writer) chunk(typ byte, n int, parts [][]byte, i int) (int, error) {
	crc := w.typeCRC[typ]
	for k, j := n, i; k > 0; j++ {
		p := parts[j][:min(k, len(parts[j]))]
		crc = crc32.Update(crc, w.table, p)
		k -= len(p)
	}
	m := Mask(crc)
	hdr := [HeaderLen]byte{byte(m), byte(m >> 8), byte(m >> 16), byte(m >> 24), byte(n), byte(n >> 8), typ}
	if err := w.put(hdr[:]); err != nil {
		return i, err
	}
	for n > 0 {
		p := parts[i][:min(n, len(parts[i]))]
		if err := w.put(p); err != nil {
			return i, err
		}
		n -= len(p)
		parts[i] = parts[i][len(p):]
		if len(parts[i]) == 0 {
			i++
		}
	}
	return i, nil
}

// put appends b to the buffer, writing the buffer out whenever it is full.
func (w *Writer) put(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), cap(w.buf)-len(w.buf))
		if n == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
			continue
		}
		w.buf = append(w.buf, b[:n]...)
		w.size += int64(n)
		b = b[n:]
	}
	return nil
}

// Flush writes out what is buffered, in one write.
func (w *Writer) Flush() error {
	if w.err != nil || len(w.buf) == 0 {
		return w.err
	}
	n, err := w.w.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.err = err
		return err
	}
	w.buf = w.buf[:0]
	return nil
}

// Size returns the length of the file once the buffer is written.
func (w *Writer) Size() int64 { return w.size }

// Written returns how many bytes of the file are known to be whole: everything
// before the buffer. After a failed write the file may be longer.
func (w *Writer) Written() int64 { return w.size - int64(len(w.buf)) }

// Buffered returns how many bytes wait for Flush.
func (w *Writer) Buffered() int { return len(w.buf) }

// Err returns the error that stopped the Writer, or nil.
func (w *Writer) Err() error { return w.err }

// Rewind takes back what was appended behind size, a value that [Writer.Size]
// returned earlier, and makes a Writer that has failed usable again. The caller
// has cut the file to at most size and at most [Writer.Written] bytes; what lies
// between the two and was not taken back is still in the buffer.
func (w *Writer) Rewind(size int64) error {
	written := w.Written()
	if size > w.size {
		return fmt.Errorf("record: rewind to %d, behind the end at %d", size, w.size)
	}
	w.buf = w.buf[:max(0, size-written)]
	w.size = size
	w.err = nil
	return nil
}
