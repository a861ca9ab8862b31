package trace

import (
	"errors"
	"io"
)

// vmtMagic begins a VMT1 file. After it, per reference:
//
//	 bit 7        2 1    0
//	├──────────────┬──────┤
//	│ size, 0..62  │ kind │   then, if the size field is 63: the size, uvarint
//	└──────────────┴──────┘   then zigzag(addr - prev[class]), uvarint
//
// Kind is 0 I, 1 L, 2 S, 3 M. Class is 0 for I and 1 for the others; both
// predecessors begin at 0, differences wrap at 64 bits.
const vmtMagic = "VMT1\n"

// maxVMTRecord is the longest record: header, size and difference.
const maxVMTRecord = 1 + 10 + 10

// A VMTReader reads the VMT1 format, decompressed. Most users call
// [NewRefReader], which also undoes the gzip around it.
//
// Not safe for concurrent use.
type VMTReader struct {
	r       io.Reader
	name    string
	lenient bool
	skipped int64
	buf     []byte
	start   int
	end     int
	base    int64 // offset of buf[0] in the stream
	prev    [2]uint64
	readErr error // of r
	err     error // to be returned once the references before it are
}

// NewVMTReader returns a reader of r, which must begin with "VMT1\n".
func NewVMTReader(r io.Reader, o *RefOptions) (*VMTReader, error) {
	v := &VMTReader{r: r, name: o.name(), lenient: o.lenient(), buf: make([]byte, 64<<10)}
	v.fill()
	if v.end < len(vmtMagic) || string(v.buf[:len(vmtMagic)]) != vmtMagic {
		if v.readErr != nil && v.readErr != io.EOF {
			return nil, wrapReadError(v.name, int64(v.end), v.readErr)
		}
		return nil, v.errorAt(0, "no VMT1 header")
	}
	v.start = len(vmtMagic)
	return v, nil
}

// Skipped implements [RefReader]: 1 after a lenient reader met the place where
// the file is damaged, since nothing behind it can be told apart.
func (v *VMTReader) Skipped() int64 { return v.skipped }

// ReadRefs implements [RefReader].
func (v *VMTReader) ReadRefs(refs []Ref) (int, error) {
	n := 0
	for n < len(refs) && v.err == nil {
		if v.end-v.start < maxVMTRecord {
			v.fill()
		}
		used, filled, bad := decodeVMT(v.buf[v.start:v.end], refs[n:], &v.prev)
		v.start += used
		n += filled
		switch {
		case bad != nil:
			v.fail(bad.Error())
		case filled > 0:
		case v.start == v.end && v.readErr == io.EOF:
			v.err = io.EOF
		case v.start == v.end && v.readErr != nil:
			v.fail(wrapReadError("", 0, v.readErr).(*ParseError).Msg)
		case v.readErr != nil:
			v.fail("record cut short")
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, v.err
}

// fail ends the trace at the current record.
func (v *VMTReader) fail(msg string) {
	if v.lenient {
		v.skipped++
		v.err = io.EOF
		return
	}
	v.err = v.errorAt(v.base+int64(v.start), msg)
}

func (v *VMTReader) errorAt(off int64, msg string) error {
	return &ParseError{File: v.name, Offset: off, Msg: msg}
}

// fill moves the bytes that are left to the front and reads until the buffer
// is full or the stream ends.
func (v *VMTReader) fill() {
	copy(v.buf, v.buf[v.start:v.end])
	v.base += int64(v.start)
	v.end -= v.start
	v.start = 0
	for idle := 0; v.readErr == nil && v.end < len(v.buf); {
		n, err := v.r.Read(v.buf[v.end:])
		v.end += n
		v.readErr = err
		if idle++; n > 0 {
			idle = 0
		} else if idle == 100 && err == nil {
			v.readErr = io.ErrNoProgress
		}
	}
}

var (
	errVMTLong = errors.New("number longer than 64 bits")
	errVMTSize = errors.New("size above 4 GiB")
)

// decodeVMT decodes whole records of b until b or refs runs out and returns how
// many bytes and references that were. A record that b cuts is left.
func decodeVMT(b []byte, refs []Ref, prev *[2]uint64) (used, n int, err error) {
	p := 0
	code, data := prev[0], prev[1]
	for n < len(refs) && p+1 < len(b) {
		start := p
		head := b[p]
		size := uint64(head >> 2)
		p++
		if size == 63 {
			var w int
			if size, w = uvarint(b[p:]); w <= 0 {
				return finishVMT(prev, code, data, start, n, w)
			}
			if size > 1<<32-1 {
				prev[0], prev[1] = code, data
				return start, n, errVMTSize
			}
			p += w
		}
		var z uint64
		if p < len(b) && b[p] < 0x80 { // most differences are small
			z = uint64(b[p])
			p++
		} else if p+1 < len(b) && b[p+1] < 0x80 {
			z = uint64(b[p]&0x7f) | uint64(b[p+1])<<7
			p += 2
		} else {
			var w int
			if z, w = uvarint(b[p:]); w <= 0 {
				return finishVMT(prev, code, data, start, n, w)
			}
			p += w
		}
		diff := z>>1 ^ -(z & 1)
		kind := RefKind(head & 3)
		addr := data + diff
		if kind == RefInstr {
			addr = code + diff
			code = addr
		} else {
			data = addr
		}
		refs[n] = Ref{Addr: addr, Size: uint32(size), Kind: kind}
		n++
	}
	prev[0], prev[1] = code, data
	return p, n, nil
}

// finishVMT ends decodeVMT before the record at start, whose number was cut
// (w == 0) or too long (w < 0).
func finishVMT(prev *[2]uint64, code, data uint64, start, n, w int) (int, int, error) {
	prev[0], prev[1] = code, data
	if w < 0 {
		return start, n, errVMTLong
	}
	return start, n, nil
}

// uvarint decodes a number of 7 bits a byte, low ones first. w is its length,
// 0 if b ends too early, negative if it has more than 64 bits.
func uvarint(b []byte) (v uint64, w int) {
	for i, c := range b {
		if i == 9 && c > 1 {
			return 0, -1
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
