package table

import (
	"encoding/binary"
	"fmt"
)

// minBlock is the length of the number of restart points, with which a block ends.
const minBlock = 4

// parseBlock splits a block into its entries and its restart points.
func parseBlock(b []byte) (data, restarts []byte, err error) {
	if len(b) < minBlock {
		return nil, nil, fmt.Errorf("block of %d bytes", len(b))
	}
	n := uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	if n > uint64(len(b)-4)/4 {
		return nil, nil, fmt.Errorf("block of %d bytes has %d restart points", len(b), n)
	}
	end := len(b) - 4 - 4*int(n)
	return b[:end:end], b[end : len(b)-4 : len(b)-4], nil
}

// An entryHeader is the decoded front of an entry.
type entryHeader struct {
	shared, unshared, vlen int
	key                    int // offset of the key bytes that are not shared
}

// value returns where the value begins.
func (h entryHeader) value() int { return h.key + h.unshared }

// end returns where the next entry begins.
func (h entryHeader) end() int { return h.key + h.unshared + h.vlen }

// decodeEntry decodes the header at off < len(data). ok is false when the entry
// does not lie inside data.
func decodeEntry(data []byte, off int) (h entryHeader, ok bool) {
	if off+3 <= len(data) {
		d := data[off : off+3 : off+3]
		if d[0]|d[1]|d[2] < 0x80 {
			h = entryHeader{int(d[0]), int(d[1]), int(d[2]), off + 3}
			return h, h.end() <= len(data)
		}
	}
	return decodeLongEntry(data, off)
}

// decodeLongEntry is decodeEntry for lengths of more than one byte.
func decodeLongEntry(data []byte, off int) (h entryHeader, ok bool) {
	var v [3]uint64
	for i := range v {
		x, n := binary.Uvarint(data[off:])
		if n <= 0 || x > MaxBlockSize {
			return h, false
		}
		v[i] = x
		off += n
	}
	if v[1]+v[2] > uint64(len(data)-off) {
		return h, false
	}
	return entryHeader{int(v[0]), int(v[1]), int(v[2]), off}, true
}

// restartAt returns where the i-th restart point is.
func restartAt(restarts []byte, i int) int {
	return int(binary.LittleEndian.Uint32(restarts[4*i:]))
}

// restartKey returns the key at the i-th restart point: it shares nothing, so
// it is a view of data.
func restartKey(data, restarts []byte, i int) (key []byte, h entryHeader, ok bool) {
	off := restartAt(restarts, i)
	if uint(off) >= uint(len(data)) {
		return nil, h, false
	}
	h, ok = decodeEntry(data, off)
	if !ok || h.shared != 0 {
		return nil, h, false
	}
	return data[h.key:h.value():h.value()], h, true
}
