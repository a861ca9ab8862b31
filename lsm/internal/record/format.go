package record

import (
	"encoding/binary"
	"hash/crc32"
)

// BlockSize is the size of a block in bytes.
const BlockSize = 32 << 10

// HeaderLen is the length of a chunk header in bytes.
const HeaderLen = 7

// Chunk types.
const (
	typeZero   = 0 // preallocated space, never written
	typeFull   = 1
	typeFirst  = 2
	typeMiddle = 3
	typeLast   = 4
)

const (
	maxChunk  = BlockSize - HeaderLen
	maskDelta = 0xa282ead8
)

const _ = uint(1<<16 - 1 - maxChunk) // compile-time: a chunk's length fits its field

// Mask makes a CRC fit to be stored beside the data it covers.
func Mask(crc uint32) uint32 { return (crc>>15 | crc<<17) + maskDelta }

// Unmask undoes Mask.
func Unmask(m uint32) uint32 {
	r := m - maskDelta
	return r>>17 | r<<15
}

// castagnoli returns the CRC-32C table; crc32 keeps one for the whole process.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// chunkCRC is the masked checksum of a chunk: payload with its type before it.
func chunkCRC(table *crc32.Table, typeAndPayload []byte) uint32 {
	return Mask(crc32.Checksum(typeAndPayload, table))
}

// appendChunk appends one chunk to dst.
func appendChunk(dst []byte, table *crc32.Table, typ byte, payload []byte) []byte {
	base := len(dst)
	dst = append(dst, 0, 0, 0, 0, byte(len(payload)), byte(len(payload)>>8), typ)
	dst = append(dst, payload...)
	binary.LittleEndian.PutUint32(dst[base:], chunkCRC(table, dst[base+6:]))
	return dst
}

// EncodedLen returns how many bytes a record of n bytes takes in a file that
// is size bytes long, padding included.
func EncodedLen(size int64, n int) int {
	total := 0
	room := BlockSize - int(size%BlockSize)
	for {
		if room < HeaderLen {
			total += room
			room = BlockSize
		}
		k := min(n, room-HeaderLen)
		total += HeaderLen + k
		n -= k
		if n == 0 {
			return total
		}
		room -= HeaderLen + k
	}
}
