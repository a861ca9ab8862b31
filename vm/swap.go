package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// A Device holds pages outside memory: a swap area or a mapped file. An [os.File]
// is one. It is not closed by this package.
type Device interface {
	io.ReaderAt
	io.WriterAt
}

// Swap is a swap area: numbered slots of one page each on a [Device]. A slot on
// the device is the page and a trailer, little-endian:
//
//	off  0            page size       +4         +8                +16
//	     ├───────────┼───────────────┼──────────┼─────────────────┤
//	     │ page      │ CRC32C        │ slot     │ generation      │
//	     └───────────┴───────────────┴──────────┴─────────────────┘
//
// The checksum covers page, slot and generation; the generation goes up with
// every write. So a flipped bit, a page read from another slot, and a write that
// never arrived are all found when the page is read back. Nothing survives the
// process: the generations are in its memory.
//
// Laws: every slot is free or has one owner; used + free == slots.
type Swap struct {
	dev   Device
	size  uint64   // of a page
	gen   []uint64 // by slot: of its last write
	inUse []bool   // by slot
	free  []int    // a stack, lowest slot on top at first
	buf   []byte
	stats SwapStats
}

// SwapStats counts what a [Swap] did since it was made.
type SwapStats struct {
	Reads, Writes             int64 // pages, successful
	ReadErrors, WriteErrors   int64 // device errors
	ChecksumErrors            int64 // pages that came back other than they were written
	SlotsAllocated, SlotsFree int64 // slots given out and taken back, in all
}

const swapTrailer = 16

// NewSwap returns an empty swap area of so many slots for pages of pageSize bytes
// (0: 4096) on dev, which it writes from offset 0 on: slots × (pageSize + 16) bytes.
func NewSwap(dev Device, slots int, pageSize uint64) (*Swap, error) {
	if pageSize == 0 {
		pageSize = 4096
	}
	if dev == nil || slots < 0 || slots > math.MaxInt32 || pageSize > 1<<30 {
		return nil, fmt.Errorf("vm: swap of %d slots of %#x bytes: want a device, 0 to %d slots, and pages up to 1 GiB", slots, pageSize, math.MaxInt32)
	}
	s := &Swap{dev: dev, size: pageSize, gen: make([]uint64, slots), inUse: make([]bool, slots), free: make([]int, slots), buf: make([]byte, pageSize+swapTrailer)}
	for i := range s.free {
		s.free[i] = slots - 1 - i
	}
	return s, nil
}

// Slots returns the number of slots.
func (s *Swap) Slots() int { return len(s.inUse) }

// Used returns how many slots hold a page.
func (s *Swap) Used() int { return len(s.inUse) - len(s.free) }

// Stats returns the counters so far.
func (s *Swap) Stats() SwapStats { return s.stats }

// alloc returns a free slot.
func (s *Swap) alloc() (slot int, ok bool) {
	if len(s.free) == 0 {
		return 0, false
	}
	slot = s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.inUse[slot] = true
	s.stats.SlotsAllocated++
	return slot, true
}

// release takes a slot back.
func (s *Swap) release(slot int) {
	s.inUse[slot] = false
	s.free = append(s.free, slot)
	s.stats.SlotsFree++
}

func (s *Swap) offset(slot int) int64 { return int64(slot) * int64(len(s.buf)) }

// sum is the checksum of the record in s.buf.
func (s *Swap) sum() uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(s.buf[:s.size], table), table, s.buf[s.size+4:])
}

// write stores a page. On an error, a *Fault of kind SwapIO, the slot holds
// nothing that can be read.
func (s *Swap) write(slot int, page []byte) error {
	copy(s.buf, page)
	s.gen[slot]++
	binary.LittleEndian.PutUint32(s.buf[s.size+4:], uint32(slot))
	binary.LittleEndian.PutUint64(s.buf[s.size+8:], s.gen[slot])
	binary.LittleEndian.PutUint32(s.buf[s.size:], s.sum())
	n, err := s.dev.WriteAt(s.buf, s.offset(slot))
	if err == nil && n < len(s.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.stats.WriteErrors++
		return &Fault{Kind: SwapIO, Level: -1, Err: err, Note: fmt.Sprintf("writing slot %d", slot)}
	}
	s.stats.Writes++
	return nil
}

// read fetches a page and checks it; page is untouched on an error, a *Fault of
// kind SwapIO.
func (s *Swap) read(slot int, page []byte) error {
	n, err := s.dev.ReadAt(s.buf, s.offset(slot))
	if n < len(s.buf) {
		s.stats.ReadErrors++
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return &Fault{Kind: SwapIO, Level: -1, Err: err, Note: fmt.Sprintf("reading slot %d", slot)}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.stats.ReadErrors++
		return &Fault{Kind: SwapIO, Level: -1, Err: err, Note: fmt.Sprintf("reading slot %d", slot)}
	}
	why := ""
	switch at, gen := binary.LittleEndian.Uint32(s.buf[s.size+4:]), binary.LittleEndian.Uint64(s.buf[s.size+8:]); {
	case binary.LittleEndian.Uint32(s.buf[s.size:]) != s.sum():
		why = "checksum mismatch"
	case at != uint32(slot):
		why = fmt.Sprintf("it holds slot %d", at)
	case gen != s.gen[slot]:
		why = fmt.Sprintf("it holds write %d, the last was %d", gen, s.gen[slot])
	}
	if why != "" {
		s.stats.ChecksumErrors++
		return &Fault{Kind: SwapIO, Level: -1, Note: fmt.Sprintf("slot %d: %s", slot, why)}
	}
	s.stats.Reads++
	copy(page, s.buf[:s.size])
	return nil
}
