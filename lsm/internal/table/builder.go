package table

import "encoding/binary"

// A blockBuilder makes one block. Not safe for concurrent use.
type blockBuilder struct {
	interval int // entries between restart points
	buf      []byte
	restarts []uint32
	counter  int // entries since the last restart point
	lastKey  []byte
	entries  int
}

func (b *blockBuilder) reset() {
	b.buf, b.restarts, b.lastKey = b.buf[:0], b.restarts[:0], b.lastKey[:0]
	b.counter, b.entries = 0, 0
}

// add appends an entry. Keys ascend.
func (b *blockBuilder) add(key, value []byte) {
	shared := 0
	if b.entries == 0 || b.counter >= b.interval {
		b.restarts = append(b.restarts, uint32(len(b.buf)))
		b.counter = 0
	} else {
		shared = commonPrefix(b.lastKey, key)
	}
	b.buf = binary.AppendUvarint(b.buf, uint64(shared))
	b.buf = binary.AppendUvarint(b.buf, uint64(len(key)-shared))
	b.buf = binary.AppendUvarint(b.buf, uint64(len(value)))
	b.buf = append(b.buf, key[shared:]...)
	b.buf = append(b.buf, value...)
	b.lastKey = append(b.lastKey[:shared], key[shared:]...)
	b.counter++
	b.entries++
}

// size is the length the block would have if it were finished now.
func (b *blockBuilder) size() int { return len(b.buf) + 4*len(b.restarts) + 4 }

// finish appends the restart points and returns the block, valid until reset.
func (b *blockBuilder) finish() []byte {
	if len(b.restarts) == 0 {
		b.restarts = append(b.restarts, 0)
	}
	for _, r := range b.restarts {
		b.buf = binary.LittleEndian.AppendUint32(b.buf, r)
	}
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(len(b.restarts)))
	return b.buf
}

// commonPrefix returns how many leading bytes a and b share.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if binary.LittleEndian.Uint64(a[i:]) != binary.LittleEndian.Uint64(b[i:]) {
			break
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
