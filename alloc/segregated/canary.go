package segregated

import (
	"encoding/binary"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
)

// A block of a checked heap inside the core's block that holds it:
//
//	core                 +6        +10          +16               +16+size     end
//	├────────────────────┼─────────┼────────────┼─────────────────┼────────────┤
//	│ size               │ stack   │ seal       │ block …         │ canary     │
//	└────────────────────┴─────────┴────────────┴─────────────────┴────────────┘
//	                                            ▲ what Malloc returns
//
// The seal covers the place, the size, the stack and whether the block is live
// or freed, and a secret of the heap. A write before the block, by one byte or
// by many, breaks it. The canary is at least 8 bytes that differ from block to
// block; it tells to the byte where a write past the end began. Bytes are
// little-endian on every machine, so that the seal is what lies next to the
// block.
const (
	recordSize = 16
	canaryMin  = 8       // bytes
	canaryMax  = 4 << 10 // bytes that are looked at; a block may have more of slack
	overhead   = recordSize + canaryMin
	sizeBits   = 48 // of a record: the size
	sealBits   = 48
)

// record is what stands before a block.
type record struct {
	size  uint64 // bytes asked for
	stack uint32 // of the allocation, 0 if not traced
	freed bool
}

// put writes the record of the block whose core block is at core.
func (c *checked) put(core uint64, r record) {
	b := c.h.mem[core:][:recordSize]
	binary.LittleEndian.PutUint64(b, r.size|uint64(r.stack)<<sizeBits)
	binary.LittleEndian.PutUint64(b[8:], c.second(core, r))
}

// second is the second word of the record r at core: what is left of the stack, and the seal.
func (c *checked) second(core uint64, r record) uint64 {
	return uint64(r.stack>>(64-sizeBits)) | c.seal(core, r)<<(64-sealBits)
}

// read returns what stands at core, and its seal.
func (c *checked) read(core uint64) (r record, seal uint64) {
	b := c.h.mem[core:][:recordSize]
	lo, hi := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	return record{size: lo & (1<<sizeBits - 1), stack: uint32(lo>>sizeBits) | uint32(hi<<(64-sizeBits))}, hi >> (64 - sealBits)
}

// get reads the record at core, a live block of the core, and reports whether
// its seal is whole.
func (c *checked) get(core uint64) (record, bool) {
	r, seal := c.read(core)
	if seal != c.seal(core, r) {
		r.freed = true
		if seal != c.seal(core, r) {
			return r, false
		}
	}
	return r, r.size+overhead <= uint64(c.h.usable(core))
}

// erase removes the record at core, whose block is free: the seal, in one word,
// before the rest.
func (c *checked) erase(core uint64) {
	b := c.h.mem[core:][:recordSize]
	copy(b[8:], c.clean[:8])
	copy(b[:8], c.clean[:8])
}

// seal is the 48 bits that guard a record.
func (c *checked) seal(core uint64, r record) uint64 {
	x := mix(c.secret^core) ^ mix(r.size) ^ uint64(r.stack)<<8
	if r.freed {
		x = ^x
	}
	return mix(x) >> (64 - sealBits)
}

// canary returns the bytes behind the block at core, to be written or looked at.
func (c *checked) canary(core uint64, r record) []byte {
	end := core + uint64(c.h.usable(core))
	b := c.h.mem[core+recordSize+r.size : end]
	return b[:min(len(b), canaryMax)]
}

// pattern returns byte i of the canaries around the block at core.
func pattern(word uint64, i int) byte { return byte(word >> (i % 8 * 8)) }

// word is the secret of one block's canary.
func (c *checked) word(core uint64) uint64 { return mix(c.secret + core) }

// writeCanary fills b with the pattern of the block at core.
func (c *checked) writeCanary(core uint64, b []byte) {
	w := c.word(core)
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, w)
	}
	for i := range b {
		b[i] = pattern(w, i)
	}
}

// brokenCanary returns how many bytes of b, written by writeCanary, have
// changed, and the first and last of them.
func (c *checked) brokenCanary(core uint64, b []byte) (n, first, last int) {
	w := c.word(core)
	for i := 0; i < len(b); i += 8 {
		if i+8 <= len(b) && binary.LittleEndian.Uint64(b[i:]) == w {
			continue
		}
		for j := i; j < min(i+8, len(b)); j++ {
			if b[j] == pattern(w, j) {
				continue
			}
			if n == 0 {
				first = j
			}
			n, last = n+1, j
		}
	}
	return n, first, last
}

// overflow returns the fault of a write past the end of the block at core, or
// nil.
func (c *checked) overflow(op string, core uint64, r record) *alloc.Fault {
	b := c.canary(core, r)
	n, first, last := c.brokenCanary(core, b)
	if n == 0 {
		return nil
	}
	f := c.blockFault(op, core, r, alloc.ErrOverflow)
	f.At = int(r.size) + first
	f.Detail = fmt.Sprintf("%v: byte %d past the end is %#02x, %s", alloc.ErrOverflow, first, b[first], changed(n, first, last))
	return f
}

// underflow returns the fault of the live core block at core, whose seal is
// broken: a write before its block, unless the block before overflowed.
func (c *checked) underflow(op string, core uint64) *alloc.Fault {
	if prev, ok := c.before(core); ok {
		if r, whole := c.get(prev); whole && !r.freed {
			if f := c.overflow(op, prev, r); f != nil {
				f.Detail += fmt.Sprintf("; it reached the block at %#x", core+recordSize)
				return f
			}
		}
	}
	f := c.blockFault(op, core, record{}, alloc.ErrUnderflow)
	f.At = -1
	f.Block = nil // its size cannot be known
	f.Detail = fmt.Sprintf("%v: its record is broken", alloc.ErrUnderflow)
	if r, n := c.guess(core); n > 0 {
		f.At = -n
		f.Block = &alloc.Block{Off: f.Off, Size: int(r.size), Used: true}
		f.AllocStack = c.stackOf(r.stack)
		f.Detail = fmt.Sprintf("%v: bytes were changed from %d before it", alloc.ErrUnderflow, n)
	}
	return f
}

// guess returns the record at core if only its seal is broken, and how many
// bytes before the block the damage begins; 0 if the record makes no sense.
func (c *checked) guess(core uint64) (record, int) {
	r, _ := c.read(core)
	if r.size+overhead > uint64(c.h.usable(core)) {
		return r, 0
	}
	var want [8]byte
	binary.LittleEndian.PutUint64(want[:], c.second(core, r))
	for i := range want {
		if c.h.mem[core+8+uint64(i)] == want[i] {
			continue
		}
		// Damage of the seal alone leaves most of its bytes; damage of what it covers leaves none.
		if n := 8 - i; n < sealBits/8 {
			return r, n
		}
		return r, 0
	}
	return r, 0
}

// before returns the core block that ends where core begins, if it is live.
func (c *checked) before(core uint64) (uint64, bool) {
	if core>>granuleShift <= c.h.first {
		return 0, false
	}
	blk, ok := c.h.containing(core - 1)
	if !ok || !blk.Used || c.guards.covers(uint64(blk.Off)) {
		return 0, false
	}
	return uint64(blk.Off), true
}

// blockFault is a fault of the whole block at core.
func (c *checked) blockFault(op string, core uint64, r record, err error) *alloc.Fault {
	user := offset(core + recordSize)
	return &alloc.Fault{
		Op: op, Addr: addrOf(c.h.mem) + uintptr(user), Off: user, InRegion: true, Size: int(r.size),
		Block: &alloc.Block{Off: user, Size: int(r.size), Used: !r.freed}, AllocStack: c.stackOf(r.stack), Err: err,
	}
}

// stackOf returns the program counters of a traced stack.
func (c *checked) stackOf(id uint32) []uintptr { return c.h.trace.stack(id) }

// changed says how much of a stretch has changed.
func changed(n, first, last int) string {
	if n == 1 {
		return "1 byte has changed"
	}
	return fmt.Sprintf("%d bytes from %d to %d have changed", n, first, last)
}
