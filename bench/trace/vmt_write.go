package trace

import (
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/gzip"
)

// A VMTWriter writes references in the VMT1 format inside gzip. Close it to
// complete the file; the underlying writer stays the caller's.
//
// Not safe for concurrent use.
type VMTWriter struct {
	z    *gzip.Writer
	buf  []byte
	prev [2]uint64
	err  error
}

// NewVMTWriter returns a writer to w.
func NewVMTWriter(w io.Writer) *VMTWriter {
	v := &VMTWriter{z: gzip.NewWriter(w), buf: make([]byte, 0, 64<<10)}
	v.buf = append(v.buf, vmtMagic...)
	return v
}

// Write appends refs. An error of the underlying writer is repeated by every
// later call.
func (v *VMTWriter) Write(refs []Ref) error {
	for _, r := range refs {
		if cap(v.buf)-len(v.buf) < maxVMTRecord {
			v.flush()
		}
		v.append(r)
	}
	return v.err
}

func (v *VMTWriter) append(r Ref) {
	kind := r.Kind & 3
	if r.Size < 63 {
		v.buf = append(v.buf, byte(r.Size)<<2|byte(kind))
	} else {
		v.buf = append(v.buf, 63<<2|byte(kind))
		v.buf = binary.AppendUvarint(v.buf, uint64(r.Size))
	}
	class := min(kind, 1)
	diff := r.Addr - v.prev[class]
	v.prev[class] = r.Addr
	v.buf = binary.AppendUvarint(v.buf, diff<<1^-(diff>>63))
}

func (v *VMTWriter) flush() {
	if v.err == nil {
		_, v.err = v.z.Write(v.buf)
	}
	v.buf = v.buf[:0]
}

// Close writes what is left and ends the file.
func (v *VMTWriter) Close() error {
	v.flush()
	if err := v.z.Close(); v.err == nil {
		v.err = err
	}
	return v.err
}
