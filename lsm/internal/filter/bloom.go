package filter

import "encoding/binary"

// PolicyName is LevelDB's name for this filter. The key of the filter block in
// a table's metaindex is "filter." followed by it.
const PolicyName = "leveldb.BuiltinBloomFilter2"

const (
	hashSeed = 0xbc9f1d34
	hashMul  = 0xc6a4a793
	maxProbe = 30
)

// Hash is LevelDB's hash of a user key; a probe needs nothing else of the key,
// so one hash serves every table.
func Hash(key []byte) uint32 {
	h := uint32(hashSeed) ^ uint32(len(key))*hashMul
	for ; len(key) >= 4; key = key[4:] {
		h += binary.LittleEndian.Uint32(key)
		h *= hashMul
		h ^= h >> 16
	}
	switch len(key) {
	case 3:
		h += uint32(key[2]) << 16
		fallthrough
	case 2:
		h += uint32(key[1]) << 8
		fallthrough
	case 1:
		h += uint32(key[0])
		h *= hashMul
		h ^= h >> 24
	}
	return h
}

// MayContain reports whether a key with hash h may have been added to filter,
// bits and k as stored. False is certain. A k that is reserved for future
// encodings matches everything.
func MayContain(filter []byte, h uint32) bool {
	n := len(filter) - 1
	if n < 1 {
		return false
	}
	k := filter[n]
	if k > maxProbe {
		return true
	}
	bits := uint32(n) * 8
	delta := h>>17 | h<<15
	for ; k > 0; k-- {
		pos := h % bits
		if filter[pos/8]&(1<<(pos%8)) == 0 {
			return false
		}
		h += delta
	}
	return true
}

// probes is the number of bits per key that minimises false positives.
func probes(bitsPerKey float64) int {
	return max(1, min(maxProbe, int(bitsPerKey*0.69)))
}

// appendBloom appends the filter of the hashes to dst.
func appendBloom(dst []byte, hashes []uint32, bitsPerKey float64) []byte {
	numBytes := (max(64, int(float64(len(hashes))*bitsPerKey)) + 7) / 8
	base := len(dst)
	dst = append(dst, make([]byte, numBytes)...)
	bits := uint32(numBytes) * 8
	k := probes(bitsPerKey)
	for _, h := range hashes {
		delta := h>>17 | h<<15
		for range k {
			pos := h % bits
			dst[base+int(pos/8)] |= 1 << (pos % 8)
			h += delta
		}
	}
	return append(dst, byte(k))
}
