package fit

// A block is a header, then the payload. While free it also holds list links
// and a footer, so that the block after it can find its start (boundary tags,
// Knuth 1973, section 2.5). All words are sealed as word.go says.
//
//	off      +header          +header+8        +size-8    +size
//	├────────┼────────────────┼────────────────┼──────────┤
//	│ tag    │ payload …                                  │  used
//	├────────┼────────────────┼────────────────┼──────────┤
//	│ tag    │ next           │ prev      …    │ tag      │  free
//	└────────┴────────────────┴────────────────┴──────────┘
//	         ▲ what Malloc returns
//
// A tag is the value
//
//	 52                     12 11        2  1   0
//	├─────────────────────────┼───────────┼───┼───┤
//	│ size / 8                │ slack     │ p │ u │
//	└─────────────────────────┴───────────┴───┴───┘
//
// Bit 0 (u) is set while the block is used, bit 1 (p) while the block before it
// is. The slack is the payload bytes past those that were asked for. Sizes are
// multiples of the heap's alignment. After the last block stands the epilogue,
// a tag of size 0 that is used, so that every block has a successor.
type tag struct {
	size     int // bytes of the whole block
	slack    int // payload bytes nobody asked for; 0 in a free block
	used     bool
	prevUsed bool
}

const (
	usedBit     = 1 << 0
	prevUsedBit = 1 << 1
	slackShift  = 2
	slackBits   = 10
	slackMask   = 1<<slackBits - 1
	sizeShift   = slackShift + slackBits
	sizeUnit    = 8

	maxHeap = 1 << 43 // bytes; what fits into a tag with a bit to spare

	// A rest too small to split off and the rounding are the slack's two parts.
	_ = uint(slackMask - 2*(maxAlign+maxHeader-1))
)

// value encodes t.
func (t tag) value() uint64 {
	v := uint64(t.size)/sizeUnit<<sizeShift | uint64(t.slack)<<slackShift
	if t.used {
		v |= usedBit
	}
	if t.prevUsed {
		v |= prevUsedBit
	}
	return v
}

// tagOf decodes v.
func tagOf(v uint64) tag {
	return tag{
		size:     int(v >> sizeShift * sizeUnit),
		slack:    int(v >> slackShift & slackMask),
		used:     v&usedBit != 0,
		prevUsed: v&prevUsedBit != 0,
	}
}
